"""The dashboard inside other applications, and of a Celery app."""

import celery
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from canvas import Canvas
from canvas.dashboard import dashboard
from canvas.dashboard.app_parts import canvas_of


def quiet(app, **options):
    found = dashboard(app, **options)
    found.start = lambda: None  # nothing is collected
    return found


@pytest.fixture
def celery_app():
    return celery.Celery(
        "shop", broker="redis://broker.example:6380/3", backend="redis://results.example/4", set_as_current=False
    )


def test_a_celery_app_gives_its_settings(celery_app):
    celery_app.conf.update(task_default_queue="orders", task_routes={"shop.*": "shop"}, result_extended=True)
    found = canvas_of(celery_app)
    assert (found.main, found.conf.broker_url, found.conf.result_backend) == (
        "shop", "redis://broker.example:6380/3", "redis://results.example/4",
    )  # fmt: skip
    assert (found.conf.task_default_queue, found.conf.result_extended) == ("orders", True)
    assert found.router.route("shop.price", {}).routing_key == "shop"


async def test_below_a_path_of_another_application(celery_app):
    outer = Starlette(routes=[Mount("/canvas", quiet(celery_app))])
    transport = httpx.ASGITransport(outer, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        page = await client.get("/canvas/workflows/one")
        assert '<base href="/canvas/">' in page.text
        assert "Path=/canvas" in page.headers["set-cookie"]
        assert (await client.get("/canvas/static/js/main.js")).status_code == 200
        assert (await client.get("/canvas/api/v1/session")).json()["app"] == "shop"
        assert (await client.get("/canvas/healthcheck")).text == "OK"
        flowers = {"task/a-1": "tasks/a-1", "worker/w@h 1": "workers/w@h%201", "broker": "queues"}
        found = {path: (await client.get(f"/canvas/{path}")).headers["location"] for path in flowers}
        assert found == {path: f"/canvas/{page}" for path, page in flowers.items()}
        unknown = await client.get("/canvas/nothing", headers={"accept": "text/html"})
        assert (unknown.status_code, '<base href="/canvas/">' in unknown.text) == (404, True)
        found = {path: (await client.get(f"/canvas/{path}")).text for path in ("nothing", "static/no.js", "api/v1/no")}
        assert found == {
            "nothing": "Not Found", "static/no.js": "Not Found",
            "api/v1/no": '{"error": "there is no operation GET /api/v1/no"}',
        }  # fmt: skip
    transport = httpx.ASGITransport(outer, client=("10.0.0.5", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
        assert (await client.get("/canvas/api/v1/session")).status_code == 403


async def test_inside_of_djangos_asgi_application():
    """As the guide says: the path is sent to the dashboard, with ``root_path``."""
    pages = quiet(Canvas("d", broker="memory://", set_as_current=False), host_auth=True)

    async def application(scope, receive, send):
        await pages({**scope, "root_path": scope.get("root_path", "") + "/canvas"}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://shop.example") as client:
        assert (await client.get("/canvas/api/v1/session")).json()["app"] == "d"
        assert '<base href="/canvas/">' in (await client.get("/canvas/")).text


async def test_masked_arguments_and_results_are_never_shown():
    app = Canvas("masked", broker="memory://", backend="memory://", set_as_current=False)
    pages = quiet(app, mask=("arguments", "results"), host_auth=True)
    fields = {"hostname": "w", "uuid": "one", "timestamp": 1.0, "name": "t.pay"}
    pages.context.collector.take(
        [
            {"type": "task-received", "args": "('s3cret',)", "kwargs": "{'card': 's3cret'}", **fields},
            {"type": "task-failed", "exception": "ValueError('s3cret')", "traceback": "s3cret", **fields},
        ]
    )
    app.backend.store_result("one", "s3cret", "SUCCESS")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://shop.example") as client:
        for path in ("/api/v1/tasks", "/api/v1/tasks/one", "/api/tasks", "/api/task/info/one", "/api/task/result/one"):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert "s3cret" not in answer.text, path
            assert "SUCCESS" in answer.text or "FAILURE" in answer.text
