"""The dashboard in the URLconf of a Django site, served by WSGI and by ASGI, for the users whom the site knows."""

import re
from itertools import islice

import pytest

from tests.support.chromium import Page, browser
from tests.support.django_site import PASSWORD, django_site

ACTION = "/canvas/api/v1/queues/celery/purge"


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request, tmp_path_factory):
    with django_site(request.param, tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture(scope="module")
def ann(site):
    with site.client("ann") as client:
        yield client


def test_who_has_not_signed_in_is_sent_to_the_login(site):
    with site.client() as client:
        answer = client.get("/canvas/tasks", headers={"accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (302, "/login/?next=/canvas/tasks")
        for path in ("/canvas/api/v1/tasks", "/canvas/api/tasks", "/canvas/metrics", "/canvas/healthcheck"):
            assert client.get(path).status_code == 403, path
        assert client.post(ACTION).status_code == 403
        assert client.get("/canvas").headers["location"] == "/canvas/"


def test_users_who_may_not_enter_the_admin_are_refused(site):
    with site.client("bob") as client:
        assert client.get("/canvas/", headers={"accept": "text/html"}).status_code == 403
        assert client.get("/canvas/api/v1/session").status_code == 403


def test_pages_and_answers_are_below_the_path(ann):
    page = ann.get("/canvas/workflows/one")
    assert '<base href="/canvas/">' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert ann.get("/canvas/static/js/main.js").headers["content-type"].startswith("text/javascript")
    session = ann.get("/canvas/api/v1/session").json()
    assert (session["user"], session["app"]) == ("ann", "site")
    assert ann.get("/canvas/api/v1/tasks", params={"limit": "x"}).status_code == 400
    assert ann.get("/canvas/api/v1/nothing").status_code == 404


def test_actions_need_the_sites_token(ann):
    assert ann.post(ACTION).status_code == 403
    page = ann.get("/canvas/").text
    header, token = (re.search(rf'{name}="([^"]+)"', page)[1] for name in ("data-header", 'name="csrf" content'))
    assert header.lower() == "x-csrftoken"
    assert ann.post(ACTION, headers={header: "x" * 64}).status_code == 403
    assert ann.post(ACTION, headers={header: token}).json()["message"] == "Deleted 0 messages of celery"
    own = {header: token, "origin": str(ann.base_url).rstrip("/")}
    assert ann.post(ACTION, headers=own).json()["done"]
    # The same, as a browser sends it from a page of another site.
    foreign = {header: token, "origin": "http://evil.example"}
    assert ann.post(ACTION, headers=foreign).status_code == 403


def test_the_stream_goes_on_under_asgi_and_is_asked_for_again_under_wsgi(site, ann):
    with ann.stream("GET", "/canvas/api/v1/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        names = list(islice((line for line in answer.iter_lines() if line.startswith("event: ")), 2))
    assert names == ["event: overview", "event: again" if site.kind == "wsgi" else "event: overview"]


@pytest.mark.slow
def test_a_user_signs_in_and_acts_by_clicks(site):
    with browser() as chromium:
        found = Page(chromium, site.url)
        shown = found.page
        shown.set_default_timeout(60_000)
        shown.goto(f"{site.url}/canvas/schedules")
        shown.get_by_label("Username").fill("ann")
        shown.get_by_label("Password").fill(PASSWORD)
        shown.get_by_role("button", name="Log in").click()
        shown.get_by_role("button", name="Run nightly now").click()
        shown.get_by_role("button", name="Run now", exact=True).last.click()
        shown.get_by_text("Sent nightly").wait_for()
        shown.get_by_role("link", name="Overview").click()
        shown.get_by_text("Tasks a second").first.wait_for()
        shown.wait_for_timeout(6_000)
        assert not shown.locator("#stale").is_visible()
        found.close()
