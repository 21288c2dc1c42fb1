"""Flower's paths: answer by answer as real Flower's on the same fleet."""

import httpx
import pytest

from canvas.dashboard.collecting.cluster import Cluster
from canvas.dashboard.flower.search import QueryError, compiled
from canvas.integrations import dashboard_metrics
from canvas.remote.cluster_entries import Task, Worker
from tests.support import dashboards
from tests.support.dashboards import eventually
from tests.support.flower import Flower

VARYING = {"clock", "timestamp", "sent", "local_received", "uptime", "rusage", "worker_state_db"}


@pytest.fixture(scope="module")
def fleet(bench):
    with dashboards.fleet(bench, inspect_timeout=3.0) as page:
        yield page


@pytest.fixture(scope="module")
def pair(bench, fleet):
    """Clients of a dashboard and of Flower, on a canvas worker and a Celery worker."""
    broker, backend, _ = bench.urls()
    page, app, known = fleet, fleet.app, bench.subscriptions()
    with Flower(broker, backend) as flower:
        eventually(lambda: bench.subscriptions() > known)
        page.flower = httpx.Client(base_url=flower.url, timeout=40)
        done = [app.send_task("t.add", (20, number)) for number in range(3)]
        done += [app.send_task("t.fail", ("<x>",)), app.send_task("t.add", (1, 2), queue="other")]
        for one in done:
            one.get(timeout=30, propagate=False)
        page.ids = [one.id for one in done]
        eventually(lambda: both_know(page), 60)
        eventually(
            lambda: all(one.get("active_queues") for one in page.client.get("/api/workers?refresh=1").json().values()),
            60,
        )
        yield page
        page.flower.close()


def both_know(pair):
    found = [client.get("/api/tasks").json() for client in (pair.client, pair.flower)]
    return all(
        set(pair.ids) <= set(one) and all(t["state"] in ("SUCCESS", "FAILURE") for t in one.values()) for one in found
    )


def plain(value):
    """A value without the parts that differ from one second to the next."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if key not in VARYING}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def same(pair, method, path, **request):
    ours, theirs = (client.request(method, path, **request) for client in (pair.client, pair.flower))
    assert ours.status_code == theirs.status_code, (path, ours.text, theirs.text)
    json_types = [one.headers.get("content-type", "").partition(";")[0] for one in (ours, theirs)]
    if json_types[1] == "application/json":
        assert json_types[0] == "application/json", path
        assert plain(ours.json()) == plain(theirs.json()), path
        return ours.json()
    assert ours.text == theirs.text, path
    return ours.text


@pytest.mark.slow
def test_answers_about_tasks_are_flowers(pair):
    for query in (
        "", "limit=2", "offset=1", "limit=2&offset=2", "sort_by=name", "sort_by=-received", "state=FAILURE",
        "taskname=t.add", "workername=theirs@h", "taskname=All&state=All", "search=t.add", "search=state:success",
        "search=%22(20%2C+1)%22", "search=worker:theirs+OR+state:failure", "search=(t.add+AND+worker:ours)",
        "received_start=2020-01-01+00:00", "received_end=2020-01-01+00:00", "search=a", "search=NOT+x", "search=((",
        "sort_by=runtime", "limit=x", "received_start=never",
    ):  # fmt: skip
        found = same(pair, "GET", f"/api/tasks?{query}")
        if query == "":
            assert list(found) == list(pair.flower.get("/api/tasks").json())
    for task_id in pair.ids:
        same(pair, "GET", f"/api/task/info/{task_id}")
        same(pair, "GET", f"/api/task/result/{task_id}")
        same(pair, "GET", f"/api/task/result/{task_id}?timeout=1")
    for path in ("/api/task/types", "/api/task/info/unknown", "/api/task/result/unknown", "/api/queues/length"):
        same(pair, "GET", path)


@pytest.mark.slow
def test_answers_about_workers_are_flowers(pair):
    def asked(client):
        found = client.get("/api/workers?refresh=1").json()
        return found if {"ours@h", "theirs@h"} <= set(found) and all("conf" in one for one in found.values()) else None

    ours, theirs = (eventually(lambda client=client: asked(client), 60) for client in (pair.client, pair.flower))
    for name in ("ours@h", "theirs@h"):
        assert set(ours[name]) == set(theirs[name])
        for part in ("active_queues", "registered", "conf"):
            assert plain(ours[name][part]) == plain(theirs[name][part])
        assert set(ours[name]["stats"]) == set(theirs[name]["stats"])
        one = [
            client.get(f"/api/workers?refresh=1&workername={name}").json()[name]
            for client in (pair.client, pair.flower)
        ]
        assert set(one[0]) == set(one[1])
    alive = {"ours@h": True, "theirs@h": True}

    def both_are_alive(client):
        # Celery's worker was started without heartbeats: it sends one when it is asked to.
        pair.app.control.broadcast("heartbeat")
        return client.get("/api/workers?status=1").json() == alive

    for client in (pair.client, pair.flower):
        eventually(lambda client=client: both_are_alive(client))
    same(pair, "GET", "/api/workers?workername=unknown")


@pytest.mark.slow
def test_actions_answer_as_flowers(pair):
    calls = [
        "/api/worker/pool/grow/unknown", "/api/worker/queue/add-consumer/ours@h", "/api/worker/pool/grow/ours@h?n=x",
        "/api/worker/pool/grow/ours@h?n=1", "/api/worker/pool/shrink/ours@h", "/api/worker/pool/grow/theirs@h",
        "/api/worker/queue/add-consumer/theirs@h?queue=more", "/api/worker/queue/cancel-consumer/theirs@h?queue=more",
        "/api/worker/queue/cancel-consumer/theirs@h", "/api/worker/pool/autoscale/theirs@h?min=1&max=3",
        "/api/worker/pool/autoscale/ours@h?min=1", "/api/worker/pool/restart/theirs@h",
        "/api/task/rate-limit/t.add?workername=ours@h&ratelimit=200", "/api/task/rate-limit/t.add?workername=theirs@h",
        "/api/task/rate-limit/unknown?workername=ours@h&ratelimit=1", "/api/task/rate-limit/t.add?workername=x&ratelimit=1",
        "/api/task/timeout/t.add?workername=theirs@h&soft=30&hard=100", "/api/task/timeout/t.add?soft=1",
        "/api/task/revoke/some-id", "/api/task/revoke/some-id?terminate=maybe", "/api/task/abort/some-id",
    ]  # fmt: skip
    for path in calls:
        same(pair, "POST", path)
    for how in ("apply", "async-apply", "send-task"):
        for body in (
            {"args": [1, 2]},
            {"args": 3},
            {"args": [1], "kwargs": {"y": 2}},
            {"countdown": "x", "args": [1, 2]},
        ):
            if how == "send-task" and "countdown" in body:
                continue
            answers = [c.post(f"/api/task/{how}/t.add", json=body) for c in (pair.client, pair.flower)]
            assert answers[0].status_code == answers[1].status_code, (how, body, answers[0].text, answers[1].text)
            if answers[0].status_code == 200:
                assert set(answers[0].json()) == set(answers[1].json())
            if how == "apply" and answers[0].status_code == 200:
                assert answers[0].json()["result"] == answers[1].json()["result"] == 3
        if how != "send-task":
            same(pair, "POST", f"/api/task/{how}/unknown", json={})
    for client in (pair.client, pair.flower):
        assert client.post("/api/task/apply/t.add", content=b"{").status_code == 400


NO_PATHS = ["nothing", "worker/pool/dance/no"]
PATHS = [
    "workers", "worker/shutdown/no", "worker/pool/restart/no", "worker/pool/grow/no", "worker/pool/shrink/no",
    "worker/pool/autoscale/no?min=1&max=2", "worker/queue/add-consumer/no?queue=q", "worker/queue/cancel-consumer/no?queue=q",
    "tasks", "task/types", "queues/length", "task/info/no", "task/apply/no", "task/async-apply/no", "task/send-task/no",
    "task/result/no", "task/abort/no", "task/timeout/no?workername=no", "task/rate-limit/no?workername=no&ratelimit=1",
    "task/revoke/no", "task/info/", *NO_PATHS,
]  # fmt: skip
"""Every path of Flower's API, with the name of a task or a worker that is not known, and some that there are not."""
MALFORMED = [
    ("task/revoke/", b""),
    ("task/async-apply/t.add", b"[]"), ("task/async-apply/t.add", b"3"), ("task/async-apply/t.add", b'"x"'),
    ("task/async-apply/t.add", b"{"), ("task/async-apply/t.add", b"\xff"), ("task/async-apply/t.add", b'{"args": {"a": 1}}'),
    ("task/async-apply/t.add", b'{"args": [1, 2], "eta": "soon"}'), ("task/async-apply/t.add", b'{"args": [1, 2], "eta": 3}'),
    ("task/async-apply/t.add", b'{"args": [1, 2], "expires": "soon"}'),
    ("task/async-apply/t.add", b'{"args": [1, 2], "countdown": []}'),
    ("task/apply/t.add", b'{"args": [1, 2], "timeout": "x"}'), ("task/apply/t.add", b"{"), ("task/apply/t.add", b"[]"),
    ("task/send-task/t.add", b"["), ("task/send-task/t.add", b"[]"), ("task/send-task/t.add", b'{"args": "x"}'),
    ("task/send-task/t.unheard_of", b'{"args": [], "queue": "without-a-worker"}'),
]  # fmt: skip
"""Bodies that are no JSON, no object, or have fields of other types."""


def difference(pair, method, path, **request):
    """How an answer differs from Flower's: status, kind of content, and content, of JSON its keys."""
    ours, theirs = (client.request(method, f"/api/{path}", **request) for client in (pair.client, pair.flower))
    if theirs.status_code == 500 and 400 <= ours.status_code < 500:
        return None  # Flower fails, where the request is wrong
    if ours.status_code != theirs.status_code:
        return ours.status_code, theirs.status_code, ours.text[:200], theirs.text[:200]
    if "html" in theirs.headers.get("content-type", ""):
        return None  # the page of an error
    if "json" in theirs.headers.get("content-type", ""):
        return None if set(ours.json()) == set(theirs.json()) else (ours.text[:200], theirs.text[:200])
    return None if ours.text == theirs.text else (ours.text[:200], theirs.text[:200])


@pytest.mark.slow
def test_every_path_and_every_error_is_flowers(pair):
    found = {}
    for method in ("GET", "POST", "PUT", "DELETE"):
        for path in PATHS:
            if method == "POST" and path.startswith(("task/apply", "task/async", "task/send")):
                continue
            if method in ("PUT", "DELETE") and path in NO_PATHS:
                continue
            found[method, path] = difference(pair, method, path)
    for path, body in MALFORMED:
        found["POST", path, body] = difference(pair, "POST", path, content=body)
    assert {request: how for request, how in found.items() if how is not None} == {}


@pytest.mark.slow
def test_metrics_have_flowers_names(pair):
    def names(text):
        return {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}

    ours, theirs = (client.get("/metrics").text for client in (pair.client, pair.flower))
    assert {name for name in names(theirs) if name.startswith("flower_")} <= names(ours)
    assert {"celery_task_received_total", "celery_worker_up", "celery_queue_length", "celery_task_runtime"} <= names(
        ours
    )
    assert 'celery_task_failed_total{exception="ValueError",hostname="ours@h",name="t.fail"' in ours


def task(**fields):
    found = Task("abc-1")
    found.__dict__.update(
        name="shop.price", state="SUCCESS", args="(1, 'two')", kwargs="{'city': 'Rome'}", worker=Worker("w@h")
    )
    found.__dict__.update(fields)
    return found


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("", True), ("price", True), ("PRICE", True), ("state:success", True), ("state:succ", False),
        ("kwargs:city=rome", True), ("kwargs:city=ro", False), ("worker:w@h", True), ("name:price AND state:failure", False),
        ("name:nope OR state:success", True), ("(name:nope OR args:two) state:success", True), ('"1, \'two"', True),
        ("http://nowhere", False),
    ],
)  # fmt: skip
def test_queries(query, fits):
    assert compiled(query)(task()) is fits


@pytest.mark.parametrize(
    "query",
    [
        "a",
        "-abc",
        "NOT abc",
        "abc OR",
        "abc AND OR abc",
        "(",
        "()",
        "abc)",
        '"abc',
        "name:",
        "x" * 3000,
        "((((((abc))))))",
    ],
)
def test_queries_that_cannot_be_read(query):
    with pytest.raises(QueryError):
        compiled(query)


def test_the_metrics_of_hostile_names_are_bounded():
    metrics, cluster = dashboard_metrics.DashboardMetrics(), Cluster(100, 10)
    for number in range(dashboard_metrics._PAIRS + 500):
        metrics.take(
            cluster.take([{"type": "task-received", "uuid": f"{number}", "hostname": "w", "name": f'n{number}"\n'}])
        )
    text = metrics.page([("g", "G.", "", {"": 1.0})]).decode()
    assert text.count("celery_task_received_total{") == dashboard_metrics._PAIRS + 1
    assert 'name="other"' in text
