"""Processes of a shop on each pair of servers: each ends with its value, or cancelled, although a worker is killed."""

import importlib
import signal

import pytest

from canvas.testing.contract import eventually
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.slow


@pytest.fixture(params=["redis", "rabbitmq and sql"])
def shop(request, monkeypatch):
    """The module of the shop, with the address of its ledger, and a function that starts a worker."""
    with RedisServer() as server:
        urls = server.url(0), server.url(1)
        if request.param != "redis":
            urls = request.getfixturevalue("rabbitmq").url(), request.getfixturevalue("postgres").new_database()
        for name, url in zip(("BROKER", "BACKEND", "LEDGER"), (*urls, server.url(2)), strict=True):
            monkeypatch.setenv(f"APP_{name}", url)
        module = importlib.reload(importlib.import_module("tests.support.shop_runs"))

        def worker(name):
            options = ("-P", "prefork", "-c", "2", "-n", f"{name}@%h")
            return WorkerProcess("canvas", *urls, *options, app="tests.support.shop_runs", ledger=server.url(2))

        yield module, worker, server.client(2)
        module.app.close()


def test_each_process_ends_although_a_worker_is_killed(shop):
    module, worker, ledger = shop
    with worker("kept"), worker("other"):
        killed = worker("killed").ready()
        runs = {
            "order": module.order("paid"), "failed": module.order("failed", fails=True),
            "approved": module.approval(60), "escalated": module.approval(1), "load": module.load(8),
            "polled": module.polling(5, 60), "late": module.polling(10**6, 5), "children": module.children(9),
            "review": module.review(), "race": module.race(), "growing": module.growing("grown"),
        }  # fmt: skip
        runs = {name: flow.apply_async() for name, flow in runs.items()}
        cancelled = [module.load(30), module.children(30), module.growing("cut"), module.polling(10**6, 60)]
        cancelled = [flow.apply_async() for flow in (*cancelled, module.review(), module.approval(60))]
        eventually(lambda: ledger.llen("paid"))
        killed.signal(signal.SIGKILL)
        runs["approved"].signal("manager", {"ok": True})
        for name in ("finance", "legal"):
            runs["review"].signal(name, name)
        for run in cancelled:
            run.cancel(terminate=True)
        values = {name: run.get(timeout=90, propagate=False) for name, run in runs.items()}
        assert repr(values.pop("failed")) == "ValueError('no stock')"
        assert values == {
            "order": 1, "approved": "granted", "escalated": "escalated", "load": 1080, "polled": {"polls": 5},
            "late": "late", "children": 3600, "review": ["legal", "finance"], "race": "fast", "growing": "bottom",
        }  # fmt: skip
        eventually(lambda: {run.query() for run in cancelled} <= {"CANCELLED", "SUCCESS"}, 60)
        eventually(lambda: ledger.lrange("failed", -2, -1) == [b"refund", b"release"])
