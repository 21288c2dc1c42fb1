"""Remote control and waits that last longer than a socket's timeout, and nodes whose tasks hold the interpreter."""

import threading
import time

import pytest

from canvas.testing.contract import eventually
from canvas.worker.control.replies import broker
from tests.support.apps import make
from tests.support.processes import members
from tests.support.timing import quickest
from tests.worker.commands import start, task

SHORT = {"socket_timeout": 0.6}


@pytest.fixture
def impatient(bench):
    """A client whose sockets wait for 0.6 s."""
    bench.empty()
    url, backend, ledger = bench.urls()
    app = make(
        "canvas", url, backend, ledger=ledger, broker_transport_options=SHORT, result_backend_transport_options=SHORT,
        redis_socket_timeout=0.6,
    )  # fmt: skip
    yield app
    app.close()


def test_answers_are_collected_beyond_the_sockets_timeout(bench, impatient):
    with start(bench, "-P", "solo", "-n", "one@here"):

        def answered_in():
            began = time.monotonic()
            assert impatient.control.ping(timeout=2.5) == [{"one@here": {"ok": "pong"}}]
            return time.monotonic() - began

        assert 2.4 < quickest(answered_in, 4) < 4
        assert impatient.control.inspect(timeout=2).ping() == {"one@here": {"ok": "pong"}}


def test_waits_for_results_and_events_last_longer_than_the_sockets_timeout(bench, impatient):
    with start(bench, "-P", "solo", "-E"):
        result = impatient.tasks["t.sleep"].delay(2, "late")
        assert result.get(timeout=20) == "late"
        found, over = [], threading.Event()

        def listen():
            for event in impatient.events.capture(timeout=20):
                found.append(event["type"])
                if event["type"] == "task-succeeded" and "worker-heartbeat" in found:
                    over.set()
                    return

        listening = threading.Thread(target=listen)
        listening.start()
        eventually(lambda: "worker-heartbeat" in found)
        began = time.monotonic()
        assert impatient.tasks["t.sleep"].delay(1.5, 1).get(timeout=20) == 1
        assert time.monotonic() - began >= 1.5
        assert over.wait(20)
        listening.join(20)


def test_an_idle_worker_stays_connected_with_impatient_sockets(bench, app):
    url, backend, ledger = bench.urls()
    impatient = f"{url}?socket_timeout=0.6"
    from tests.support.processes import WorkerProcess

    with WorkerProcess("canvas", impatient, backend, "-P", "prefork", "-c", "2", ledger=ledger) as worker:
        task(app, "add").delay(1, 1).get(timeout=20)
        opened = bench.broker.info("stats")["total_connections_received"]
        time.sleep(2)
        assert bench.broker.info("stats")["total_connections_received"] - opened <= 1
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
        assert not [line for line in worker.log if "unreachable" in line]


@pytest.fixture(scope="module")
def deaf(bench):
    """A node whose two children both hold their interpreters."""
    bench.empty()
    url, backend, ledger = bench.urls()
    app = make("canvas", url, backend, ledger=ledger)
    with start(bench, "-P", "prefork", "-c", "2", "-n", "deaf@here") as worker:
        app.tasks["t.add"].delay(1, 1).get(timeout=20)
        inspect = app.control.inspect(timeout=20, limit=1)
        eventually(lambda: inspect.stats()["deaf@here"]["total"].get("t.add") == 1)
        held = [app.tasks["t.hold"].delay(60) for _ in range(2)]
        eventually(lambda: all(result.state == "STARTED" or bench.broker.hlen("unacked") >= 2 for result in held))
        eventually(lambda: len(inspect.active()["deaf@here"]) == 2)
        yield app, [result.id for result in held], members(worker.process.pid)[1:]
        for result in held:
            result.revoke(terminate=True)
        eventually(lambda: all(result.state == "REVOKED" for result in held))
    app.close()


def test_a_node_says_what_runs_while_tasks_hold_the_interpreter(deaf):
    app, ids, children = deaf
    inspect = app.control.inspect(timeout=20, limit=1)
    active = inspect.active()["deaf@here"]
    assert {one["id"] for one in active} == set(ids)
    assert {one["worker_pid"] for one in active} == set(children)
    assert all(one["args"] == [60] and one["name"] == "t.hold" and not one["acknowledged"] for one in active)
    assert all(0 <= time.time() - one["time_start"] < 120 for one in active)
    assert inspect.query_task(ids)["deaf@here"].keys() == set(ids)
    stats = inspect.stats()["deaf@here"]
    assert set(stats["pool"]["processes"]) == set(children)
    assert stats["total"]["t.add"] == 1


def test_a_ping_waits_for_nothing(deaf):
    app, _, _ = deaf
    for question in ("stats", "active", "reserved", "stats", "active", "reserved"):
        getattr(app.control.inspect(timeout=0.01), question)()
    app.control.rate_limit("t.hold", "100/s")
    assert app.control.inspect(timeout=20, limit=1).ping() == {"deaf@here": {"ok": "pong"}}


def test_a_broker_of_several_servers_in_parts():
    one, two = "sentinel://:secret@first:26379", "sentinel://:secret@second:26380"
    found = broker(f"{one};{two}")
    assert (found["hostname"], found["port"], found["transport"]) == ("first", 26379, "sentinel")
    assert found["alternates"] == ["sentinel://first:26379", "sentinel://second:26380"]
    assert "secret" not in repr(found)
    assert broker("redis://u:p@host/3")["virtual_host"] == "3"
    assert broker("redis://host:6380;redis://other")["port"] == 6380
