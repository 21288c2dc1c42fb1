"""Remote control: Celery's own tools on our worker, our client on Celery's, reply for reply."""

import json
import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from canvas.cli.inspect_control import control, inspect
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.testing.contract import eventually
from canvas.wire.task_message import encode_plain
from tests.support import forked
from tests.support.apps import make
from tests.support.processes import WorkerProcess

POOLS = [("solo",), ("threads", "-c", "2"), ("asyncio", "-c", "2"), ("prefork", "-c", "2")]


@pytest.fixture(
    params=[
        pytest.param(pool, id=pool[0], marks=() if pool[0] in ("asyncio", "prefork") else pytest.mark.slow)
        for pool in POOLS
    ],
    scope="module",
)
def ours(request, bench):
    """A worker of each pool; a test leaves it as it was."""
    broker, backend, ledger = bench.urls()
    bench.empty()
    with WorkerProcess("canvas", broker, backend, "-P", *request.param, "-n", "ours@here", ledger=ledger) as worker:
        yield worker, request.param[0]


@pytest.fixture(params=["celery", "canvas"])
def asking(request, bench):
    """An app of either kind, to ask with."""
    broker, backend, ledger = bench.urls()
    app = make(request.param, broker, backend, ledger=ledger)
    yield app
    app.close()


def test_questions(ours, asking, bench):
    _, pool = ours
    asked = asking.control.inspect(destination=["ours@here"], timeout=20)
    assert asked.ping() == {"ours@here": {"ok": "pong"}}
    assert "t.add" in asked.registered()["ours@here"]
    assert not [name for name in asked.registered()["ours@here"] if name.startswith("celery.")]
    queue = asked.active_queues()["ours@here"][0]
    assert (queue["name"], queue["routing_key"], queue["exchange"]["name"], len(queue)) == (
        "celery",
        "celery",
        "celery",
        18,
    )
    before = asked.stats()["ours@here"]["total"].get("t.add", 0)
    asking.tasks["t.add"].delay(1, 1).get(timeout=20)
    eventually(lambda: asked.stats()["ours@here"]["total"].get("t.add") == before + 1)
    stats = asked.stats()["ours@here"]
    assert stats["pool"]["max-concurrency"] == (1 if pool == "solo" else 2)
    assert stats["broker"]["transport"] == "redis"
    assert len(stats["memory"]) == (3 if pool == "prefork" else 1)
    assert all(size > 10_000 for size in stats["memory"].values())
    assert "broker_url" in asked.conf()["ours@here"]
    assert asked.clock()["ours@here"]["clock"] > 0
    assert asked.scheduled() == {"ours@here": []}
    assert asked.memsample()["ours@here"].endswith("MB")
    assert "- rss (end): " in asked.memdump()["ours@here"]
    assert asked.objgraph()["ours@here"] == {"error": "ImportError('Requires the objgraph library')"}
    reply = {"reply": True, "timeout": 20, "destination": ["ours@here"]}
    refused = asking.control.broadcast("pool_restart", **reply)
    assert refused == [{"ours@here": {"error": "ValueError('Pool restarts not enabled')"}}]


@pytest.mark.parametrize(
    ("command", "method", "count"), [(inspect, "ping", "\n1 node online.\n"), (control, "heartbeat", "")]
)
def test_replies_on_a_terminal(ours, bench, command, method, count):
    broker, backend, ledger = bench.urls()
    app = make("canvas", broker, backend, ledger=ledger)
    done = CliRunner().invoke(command, [method, "-d", "ours@here", "-t", "20"], obj=SimpleNamespace(app=app))
    app.close()
    first, _reply, *rest = done.stdout.splitlines(keepends=True)
    assert (first, "".join(rest)) == ("->  ours@here: OK\n", count)


def test_what_runs_and_what_waits(ours, asking, bench):
    _, pool = ours
    key = bench.new_key()
    slots = 1 if pool == "solo" else 2
    for _ in range(slots):
        asking.tasks["t.until_open"].apply_async((key,), {})
    bench.ledger(key, slots)
    asked = asking.control.inspect(destination=["ours@here"], timeout=20)
    active = asked.active()["ours@here"]
    assert [info["type"] for info in active] == ["t.until_open"] * slots
    assert set(active[0]) == {
        "id", "name", "args", "kwargs", "type", "hostname", "time_start", "acknowledged", "delivery_info", "worker_pid",
    }  # fmt: skip
    assert active[0]["args"] == [key]
    assert asked.query_task(active[0]["id"])["ours@here"][active[0]["id"]][0] == "active"
    bench.open(key)
    eventually(lambda: len(bench.ledger(key, slots)) == 2 * slots)
    eventually(lambda: asked.active() == {"ours@here": []})


def test_revoking(ours, asking, bench):
    key = bench.new_key()
    late = asking.tasks["t.add"].apply_async((1, 1), expires="2001-01-01T00:00:00+00:00")
    due = datetime.now(UTC) + timedelta(seconds=5)
    later = asking.tasks["t.slow_then"].apply_async((0, key), eta=due.replace(tzinfo=None).isoformat())
    asked = asking.control.inspect(destination=["ours@here"], timeout=20)
    eventually(lambda: [entry["eta"] for entry in asked.scheduled()["ours@here"]] == [due.isoformat()])
    asking.control.revoke(later.id)
    assert bench.wait_state(asking, later.id) == "REVOKED"
    eventually(lambda: {later.id, late.id} <= set(asked.revoked()["ours@here"]))
    eventually(lambda: not bench.broker.exists("canvas:delayed", "celery", "unacked"))
    assert bench.ledgers.llen(f"ledger:{key}") == 0


def test_terminating_what_runs(ours, asking, bench):
    _, pool = ours
    key = bench.new_key()
    result = asking.tasks["t.until_open"].apply_async((key,))
    bench.ledger(key, 1)
    asking.control.revoke(result.id, terminate=True)
    if pool != "prefork":
        bench.open(key)
    # Only a process of its own can be ended for a function that runs; elsewhere the function returns, as in Celery.
    assert bench.wait_state(asking, result.id) == ("REVOKED" if pool == "prefork" else "SUCCESS")
    if pool != "prefork":
        assert bench.ledger(key, 2) == ["start", "end"]
    assert asking.tasks["t.add"].delay(1, 1).get(timeout=20) == 2


def test_queues_come_and_go(ours, asking, bench):
    reply = {"reply": True, "timeout": 20, "destination": ["ours@here"]}
    for _ in range(2):
        assert asking.control.add_consumer("extra", **reply) == [{"ours@here": {"ok": "add consumer extra"}}]
        assert asking.tasks["t.add"].apply_async((1, 2), queue="extra").get(timeout=20) == 3
    gone = asking.control.cancel_consumer("extra", **reply)
    assert gone == [{"ours@here": {"ok": "no longer consuming from extra"}}]
    asking.tasks["t.add"].apply_async((1, 2), queue="extra")
    assert asking.tasks["t.add"].delay(1, 1).get(timeout=20) == 2
    assert bench.broker.llen("extra") == 1


def test_a_queue_that_is_added_keeps_its_exchange(ours, asking, bench):
    reply = {"reply": True, "timeout": 20, "destination": ["ours@here"]}
    about = {"exchange": "media", "exchange_type": "direct", "routing_key": "media.video"}
    assert asking.control.add_consumer("bound", **about, **reply) == [{"ours@here": {"ok": "add consumer bound"}}]
    asked = asking.control.inspect(destination=["ours@here"], timeout=20)

    def found():
        queues = {queue["name"]: queue for queue in asked.active_queues()["ours@here"]}
        return "bound" in queues and (queues["bound"]["exchange"], queues["bound"]["routing_key"])

    eventually(found)
    exchange, routing_key = found()
    assert (exchange["name"], exchange["type"], routing_key) == ("media", "direct", "media.video")
    routed = {"exchange": "media", "routing_key": "media.video"}
    assert asking.tasks["t.add"].apply_async((1, 2), **routed).get(timeout=20) == 3
    asking.control.cancel_consumer("bound", **reply)


def test_growing_and_shrinking(ours, asking, bench):
    _, pool = ours
    asked = asking.control.inspect(destination=["ours@here"], timeout=20)
    reply = {"reply": True, "timeout": 20, "destination": ["ours@here"]}
    found = asking.control.pool_grow(2, **reply)[0]["ours@here"]
    if pool == "solo":
        assert "the solo pool has one slot" in found["error"]
        return
    assert found == {"ok": "pool will grow"}
    eventually(lambda: _places(asked, pool) == 4)
    key = bench.new_key()
    for _ in range(4):
        asking.tasks["t.until_open"].delay(key)
    assert bench.ledger(key, 4) == ["start"] * 4
    assert asking.control.pool_shrink(3, **reply)[0]["ours@here"] == {"ok": "pool will shrink"}
    bench.open(key)
    eventually(lambda: _places(asked, pool) == 1)
    bench.ledger(key, 8)
    key = bench.new_key()
    for _ in range(2):
        asking.tasks["t.slow_then"].delay(0.3, key)
    assert bench.ledger(key, 4) == ["start", "end"] * 2
    assert asking.control.pool_grow(1, **reply)[0]["ours@here"] == {"ok": "pool will grow"}
    eventually(lambda: _places(asked, pool) == 2)
    assert asking.tasks["t.add"].delay(1, 1).get(timeout=20) == 2


def _places(asked, pool):
    stats = asked.stats()["ours@here"]["pool"]
    return len(stats["processes"]) if pool == "prefork" else stats["max-concurrency"]


def test_time_limits_from_afar(ours, asking, bench):
    reply = {"reply": True, "timeout": 20, "destination": ["ours@here"]}
    assert asking.control.time_limit("t.busy", soft=0.5, hard=30, **reply) == [
        {"ours@here": {"ok": "time limits set successfully"}}
    ]
    assert asking.control.time_limit("t.nobody", soft=1, hard=2, **reply) == [{"ours@here": {"error": "unknown task"}}]
    for wrong in ("0.5", -1, True, [1]):
        assert "expected seconds, 0 or more" in str(asking.control.time_limit("t.busy", soft=wrong, **reply))
    result = asking.signature("t.busy", (60,)).apply_async()
    assert bench.wait_state(asking, result.id) == "FAILURE"


def test_bad_commands_are_answered(ours, asking, bench):
    reply = {"reply": True, "timeout": 20, "destination": ["ours@here"]}
    assert asking.control.broadcast("no_such_command", **reply) == [
        {"ours@here": {"error": "KeyError('no_such_command')"}}
    ]
    answer = asking.control.broadcast("revoke", arguments={"bad": 1}, **reply)[0]["ours@here"]
    assert answer["error"].startswith("TypeError")
    bench.broker.publish("/0.celery.pidbox", b"no message at all")
    assert asking.control.ping(timeout=20, destination=["ours@here"]) == [{"ours@here": {"ok": "pong"}}]
    assert asking.control.broadcast("ping", pattern="elsewhere*", matcher="glob", reply=True, timeout=0.3) in ([], None)
    assert asking.control.broadcast("ping", pattern="(", matcher="pcre", reply=True, timeout=0.3) in ([], None)
    request = {"method": "ping", "arguments": {}, "destination": None, "pattern": None, "matcher": None, "ticket": "t"}
    for reply_to in (7, {"exchange": "x"}, "reply"):
        broken = ENVELOPE.encode(
            encode_plain({**request, "reply_to": reply_to}, {}, delivery_mode=2), "celery.pidbox", ""
        )
        bench.broker.publish("/0.celery.pidbox", broken)
    assert asking.control.ping(timeout=20, destination=["ours@here"]) == [{"ours@here": {"ok": "pong"}}]


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool[0])
def test_shutdown_is_warm(bench, asking, pool):
    broker, backend, ledger = bench.urls()
    worker = WorkerProcess("canvas", broker, backend, "-P", *pool, "-n", "theirs@here", ledger=ledger).ready()
    asking.control.shutdown(destination=["theirs@here"])
    assert worker.wait() == 0


def test_our_client_asks_celerys_worker(bench):
    broker, backend, ledger = bench.urls()
    with WorkerProcess("celery", broker, backend, "-P", "solo", "-n", "stock@here", ledger=ledger):
        app = make("canvas", broker, backend, ledger=ledger)
        asked = app.control.inspect(timeout=20, destination="stock@here")
        assert asked.ping() == {"stock@here": {"ok": "pong"}}
        assert "t.add" in asked.registered()["stock@here"]
        assert asked.stats()["stock@here"]["pool"]["implementation"] == "celery.concurrency.solo:TaskPool"
        assert app.control.inspect(timeout=0.3, destination="nobody@here").ping() is None
        app.close()


@pytest.mark.parametrize("ours", POOLS[:1], indirect=True, ids=["solo"])
@pytest.mark.parametrize("library", ["canvas", "celery"])
def test_the_command_lines(ours, bench, library):
    broker, backend, _ = bench.urls()

    def call(*arguments):
        environment = {**os.environ, "APP_LIBRARY": library, "APP_BROKER": broker, "APP_BACKEND": backend}
        return forked.run(library, "-A", "tests.support.apps:app", *arguments, environment=environment)

    status = call("status", "--timeout", "5", "--destination", "ours@here")
    assert status.returncode == 0
    assert "ours@here: OK" in status.stdout
    answered = call("inspect", "ping", "--timeout", "5", "-d", "ours@here", "--json")
    assert json.loads(answered.stdout) == {"ours@here": {"ok": "pong"}}
    assert call("inspect", "ping", "--timeout", "0.2", "-d", "nobody@here").returncode == 69
    if library == "canvas":
        assert call("control", "revoke").returncode == 2
        assert call("control", "pool_grow", "many").returncode == 2
        assert call("inspect", "ping", "extra").returncode == 2
        assert "flagged as revoked" in call("control", "revoke", "some-id", "-t", "5", "-d", "ours@here").stdout
