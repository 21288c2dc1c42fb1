"""Who may use the dashboard, and what a foreign page cannot do."""

import base64

import httpx
import pytest

from canvas import Canvas
from canvas.cli.monitoring.dashboard import checked_address
from canvas.dashboard import dashboard
from canvas.errors import ConfigurationError

ACTION = "/api/v1/tasks/one/revoke"


@pytest.fixture
def app():
    return Canvas("guarded", broker="memory://", backend="memory://", set_as_current=False)


async def asked(app, path="/api/v1/session", method="GET", peer="127.0.0.1", headers=None, host="localhost", **options):
    found = dashboard(app, enable_events=False, **options)
    found.start = lambda: None  # nothing is collected for a request that is only let in or refused
    transport = httpx.ASGITransport(found, client=(peer, 1234))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        return await client.request(method, path, headers=headers)


def basic(pair):
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


@pytest.mark.parametrize(
    ("peer", "host", "headers", "status"),
    [
        ("127.0.0.1", "localhost", {}, 200),
        ("127.0.0.1", "localhost:5555", {}, 200),
        ("::1", "[::1]:5555", {}, 200),
        ("10.0.0.7", "localhost", {}, 403),
        ("127.0.0.1", "evil.example", {}, 403),
        ("127.0.0.1", "localhost", {"x-forwarded-for": "10.0.0.7"}, 403),
    ],
)
async def test_without_authentication_only_this_machine_is_answered(app, peer, host, headers, status):
    answer = await asked(app, peer=peer, host=host, headers=headers)
    assert answer.status_code == status
    assert status == 200 or "--basic-auth" in answer.text


async def test_basic_authentication(app):
    options = {"basic_auth": ("ann:s3:cret", "bob:pw"), "peer": "10.0.0.7", "host": "shop.example"}
    refused = await asked(app, **options)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="canvas"')
    assert (await asked(app, headers=basic("ann:s3:cret"), **options)).json()["user"] == "ann"
    for wrong in ("ann:s3", "ann:pw", ":", "ann:s3:cretx"):
        assert (await asked(app, headers=basic(wrong), **options)).status_code == 401
    for wrong in ("Basic", "Basic ä", "Bearer YTpi", "Basic YTpi="):
        headers = {"authorization": wrong.encode("latin-1")}
        assert (await asked(app, headers=headers, **options)).status_code == 401


async def test_a_users_header_is_believed_from_the_named_proxy_only(app):
    options = {"user_header": "X-User", "trusted_proxies": ("10.1.0.0/16",), "headers": {"X-User": "ann"}}
    assert (await asked(app, peer="10.1.2.3", host="shop.example", **options)).json()["user"] == "ann"
    assert (await asked(app, peer="10.2.2.3", host="shop.example", **options)).status_code == 403
    options["headers"] = {}
    assert (await asked(app, peer="10.1.2.3", host="shop.example", **options)).status_code == 403


async def test_the_application_around_it_may_authenticate(app):
    assert (await asked(app, peer="10.2.2.3", host="shop.example", host_auth=True)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"referer": "http://evil.example/"}, 403),
        ({"origin": "http://localhost", "cookie": f"canvas_csrf={'a' * 20}", "x-canvas-csrf": "a" * 20}, 200),
        ({"origin": "http://localhost", "cookie": f"canvas_csrf={'a' * 20}", "x-canvas-csrf": "b" * 20}, 403),
        ({"origin": "http://localhost", "cookie": "canvas_csrf=", "x-canvas-csrf": ""}, 403),
    ],
)
async def test_an_action_is_asked_for_by_the_own_page_or_by_a_program(app, headers, status):
    assert (await asked(app, ACTION, "POST", headers=headers)).status_code == status


async def test_read_only(app):
    for path in (ACTION, "/api/v1/queues/celery/purge", "/api/v1/schedules/one/run"):
        answer = await asked(app, path, "POST", read_only=True)
        assert (answer.status_code, answer.text) == (403, "Read only mode is enabled")


async def test_every_answer_has_a_strict_policy_and_a_cookie_for_this_site_only(app):
    answer = await asked(app)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "SameSite=Strict" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"basic_auth": ("ann",)}, "expected user:password"),
        ({"user_header": "X-User"}, "belong together"),
        ({"trusted_proxies": ("10.0.0.1",)}, "belong together"),
        ({"user_header": "X", "trusted_proxies": ("proxy",)}, "expected addresses or networks"),
        ({"mask": ("names",)}, "expected arguments or results"),
        ({"max_tasks": 0}, "max_tasks: expected a number above 0"),
        ({"store": "mysql://db/x"}, "expected a sqlite:/// or postgresql:// URL"),
    ],
)
def test_options_that_make_no_sense_are_refused(app, options, text):
    with pytest.raises(ConfigurationError, match=text):
        dashboard(app, **options)


def test_only_an_app_has_a_dashboard():
    with pytest.raises(ConfigurationError, match="expected a Canvas or a Celery app; got int"):
        dashboard(3)


def test_an_address_that_others_reach_needs_authentication():
    for address in ("0.0.0.0", "10.0.0.1", "::", ""):
        with pytest.raises(ConfigurationError, match="without authentication"):
            checked_address(address, False, None)
        checked_address(address, True, None)
    checked_address("127.0.0.1", False, None)
