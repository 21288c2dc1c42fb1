"""A Celery worker and a canvas worker on one queue, sharing chords and each other's leftovers."""

import signal
import time

import pytest

from canvas import Workflow
from canvas.errors import TaskRevokedError
from canvas.testing.contract import eventually
from tests.chaos.workload import workload
from tests.support.apps import make
from tests.support.processes import WorkerProcess


@pytest.fixture(scope="module")
def fleet(bench):
    broker, backend, ledger = bench.urls()
    with (
        WorkerProcess("celery", broker, backend, "-P", "threads", "-c", "2", "-n", "stock@%h", ledger=ledger),
        WorkerProcess("canvas", broker, backend, "-P", "threads", "-c", "2", "-n", "ours@%h", ledger=ledger),
    ):
        yield bench


@pytest.mark.parametrize("client", ["celery", "canvas"])
def test_both_kinds_run_the_parts_of_one_chord(fleet, client):
    broker, backend, ledger = fleet.urls()
    app = make(client, broker, backend, ledger=ledger)
    library = __import__(client)
    where, sleep = app.tasks["t.where"], app.tasks["t.sleep"]
    kinds = set()
    for _ in range(10):
        header = [library.chain(sleep.s(0.02), where.s()) for _ in range(12)]
        found = library.chord(header, app.tasks["t.ident"].s()).apply_async().get(timeout=30)
        assert len(found) == 12
        kinds |= {one["hostname"].partition("@")[0] for one in found}
        if kinds == {"stock", "ours"}:
            break
    assert kinds == {"stock", "ours"}


def test_many_chords_each_end_once_with_the_right_value(fleet):
    broker, backend, ledger = fleet.urls()
    app = make("canvas", broker, backend, ledger=ledger)
    from canvas import chord

    keys = [fleet.new_key() for _ in range(40)]
    add, tsum, noted = app.tasks["t.add"], app.tasks["t.tsum"], app.tasks["t.noted"]
    results = [chord([add.s(i, n) for i in range(6)], tsum.s() | noted.s(key)).delay() for n, key in enumerate(keys)]
    assert [r.get(timeout=60) for r in results] == [15 + 6 * n for n in range(40)]
    assert [len(fleet.ledger(key, 1)) for key in keys] == [1] * 40
    app.close()


def test_a_stock_worker_takes_over_what_ours_gave_back(bench):
    broker, backend, ledger = bench.urls()
    app = make("celery", broker, backend, ledger=ledger)
    key = bench.new_key()
    ours = WorkerProcess("canvas", broker, backend, "-P", "solo", "-Q", "over", ledger=ledger).ready()
    result = app.tasks["t.until_open"].apply_async((key,), queue="over")
    bench.ledger(key, 1)
    ours.signal(signal.SIGQUIT)
    ours.wait()
    bench.open(key)
    with WorkerProcess("celery", broker, backend, "-P", "solo", "-Q", "over", ledger=ledger):
        assert result.get(timeout=30) == key
    assert bench.ledger(key, 3) == ["start", "start", "end"]


def test_a_stock_worker_takes_no_lease_of_ours_that_is_alive(bench):
    """It looks as it starts, and its visibility timeout is shorter than the time between our workers' own heartbeats."""
    broker, backend, ledger = bench.urls()
    app, key, patience = make("canvas", broker, backend, ledger=ledger), bench.new_key(), 3
    with WorkerProcess("canvas", broker, backend, "-P", "solo", "-Q", "long", ledger=ledger, visibility=patience):
        result = app.tasks["t.until_open"].apply_async((key,), queue="long")
        bench.ledger(key, 1)
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > patience + 1)
        with WorkerProcess("celery", broker, backend, "-P", "solo", "-Q", "long", ledger=ledger, visibility=patience):
            assert app.tasks["t.add"].apply_async((1, 1), queue="long").get(timeout=30) == 2
            assert bench.ledger(key, 1) == ["start"]
            bench.open(key)
            assert result.get(timeout=30) == key
    assert bench.ledger(key, 2) == ["start", "end"]
    app.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_kills_of_ours_beside_a_stock_worker(bench):
    """One queue, chords of both kinds' parts; only our worker dies, again and again."""
    broker, backend, ledger = bench.urls()
    app, key = make("canvas", broker, backend, ledger=ledger), bench.new_key()

    def ours():
        return WorkerProcess("canvas", broker, backend, "-P", "threads", "-c", "2", ledger=ledger, short_leases=1)

    with WorkerProcess("celery", broker, backend, "-P", "threads", "-c", "1", ledger=ledger, acks_late=1):
        worker = ours().ready()
        sent = workload(app, key, 6)
        for notes in range(10, 100, 30):
            bench.ledger(key, notes)
            worker.ready().signal(signal.SIGKILL)
            worker.wait()
            worker = ours()
        assert [result.get(timeout=60) for result, _ in sent] == [value for _, value in sent]
        worker.ready().stop()
    app.close()


@pytest.mark.parametrize(("client", "worker"), [("celery", "canvas"), ("canvas", "celery")])
def test_msgpack(bench, client, worker):
    broker, backend, ledger = bench.urls()
    library = __import__(client)
    with WorkerProcess(worker, broker, backend, "-P", "solo", "-Q", "packed", ledger=ledger, serializer="msgpack"):
        app = make(client, broker, backend, "msgpack", ledger)
        add, kinds = app.tasks["t.add"], app.tasks["t.kinds"]
        header = [add.s(i, i).set(queue="packed") for i in range(3)]
        chord = library.chord(header, app.tasks["t.tsum"].s().set(queue="packed"))
        assert chord.apply_async().get(timeout=30) == 6
        assert kinds.apply_async((b"\x00\xff",), queue="packed").get(timeout=30) == ["bytes", b"\x00\xff"]


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "lzma", "zstd", "brotli"])
def test_compressed_messages_both_ways(fleet, compression):
    broker, backend, ledger = fleet.urls()
    text = "word " * 2000
    for client in ("celery", "canvas"):
        app = make(client, broker, backend, ledger=ledger)
        results = [app.tasks["t.ident"].apply_async((text,), compression=compression) for _ in range(8)]
        assert [r.get(timeout=30) for r in results] == [text] * 8


@pytest.mark.parametrize(("client", "worker"), [("celery", "canvas"), ("canvas", "celery")])
def test_every_kind_of_argument(bench, client, worker):
    import datetime
    import decimal
    import uuid

    values = [
        None, True, 1, 2**70, 1.5, "tëxt\u2028", [], {}, [1, [2, {"a": None}]], {"k": [1]}, b"bytes", b"\xff\x00",
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        datetime.date(2026, 1, 2), datetime.time(1, 2, 3), decimal.Decimal("1.10"), uuid.UUID(int=7),
    ]  # fmt: skip
    broker, backend, ledger = bench.urls()
    with WorkerProcess(worker, broker, backend, "-P", "solo", "-Q", "kinds", ledger=ledger):
        app = make(client, broker, backend, ledger=ledger)
        for value in values:
            found = app.tasks["t.kinds"].apply_async((value,), queue="kinds").get(timeout=30)
            assert found == [type(value).__name__, value]


@pytest.mark.parametrize("shape", ["task", "failure", "map"])
def test_a_run_whose_tasks_a_stock_worker_takes(bench, shape):
    """The run stops there, visibly; it can be cancelled, and resumed once canvas workers alone consume the queue."""
    broker, backend, ledger = bench.urls()
    app = make("canvas", broker, backend, ledger=ledger)
    queue = bench.new_key()
    flow = Workflow("shared", app)
    first = {
        "task": lambda: flow.add(app.tasks["t.ident"].s(1).set(queue=queue), name="first"),
        "failure": lambda: flow.add(app.tasks["t.fail"].s("no").set(queue=queue), name="first"),
        "map": lambda: flow.map(app.tasks["t.ident"].s().set(queue=queue), over=[1], name="first"),
    }[shape]()
    flow.add(app.tasks["t.ident"].s(first).set(queue=queue), name="second")
    flow.finally_(app.tasks["t.noted"].si(1, queue).set(queue=queue), name="clean")
    with WorkerProcess("celery", broker, backend, "-P", "solo", "-Q", queue, "-n", "stock@%h", ledger=ledger):
        run = flow.apply_async()
        task = run["first"].id
        eventually(app.AsyncResult(f"{task}.0" if shape == "map" else task).ready)
        how = "1 of the 1 tasks that were looked at" if shape == "map" else ""
        named = f"first ({how})" if how else "first"
        with pytest.raises(TimeoutError) as error:
            run.get(timeout=0.1)
        assert f"Celery workers took messages of {named}, and they do not start the nodes after it" in str(error.value)
        assert run.status().by_celery == {"first": how}
        assert f"Celery workers took messages of {named}" in str(run.status())
        with WorkerProcess("canvas", broker, backend, "-P", "solo", "-Q", queue, ledger=ledger) as ours:
            text = f"consumes {queue} too: runs of workflows"
            assert "WARNING" in next(line for line in ours.wait_for(text).log if text in line)
    with WorkerProcess("canvas", broker, backend, "-P", "threads", "-c", "2", "-Q", queue, ledger=ledger):
        assert run.cancel()
        eventually(lambda: run.query() == "CANCELLED")
        with pytest.raises(TaskRevokedError):
            run.get(timeout=20)
        assert run.query("second") in ("REVOKED", "UPSTREAM_FAILED")
        assert len(bench.ledger(queue, 1)) == 1
        if shape != "failure":
            assert run.resume()
            assert run.get(timeout=20) == {"task": 1, "map": [1]}[shape]
        assert run.status().by_celery == {}
    app.close()


def test_a_stock_worker_that_discards_the_end_of_a_run_inside(bench):
    broker, backend, ledger = map(bench.server.url, (3, 4, 2))  # apart from the workers of the fleet
    app = make("canvas", broker, backend, ledger=ledger)
    gate, inside, flow = bench.new_key(), Workflow("inside", app), Workflow("around", app)
    inside.add(app.tasks["t.needs_gate"].s(2, gate, gate).set(queue="ours"))
    flow.add(app.tasks["t.ident"].s(flow.add(inside, name="in its place")).set(queue="ours"), name="after")
    with WorkerProcess("canvas", broker, backend, "-P", "solo", "-Q", "ours", ledger=ledger):
        run = flow.apply_async()
        with WorkerProcess("celery", broker, backend, "-P", "solo", "-Q", "celery", "-n", "stock@%h", ledger=ledger):
            eventually(lambda: run.status().by_celery == {"in its place": "canvas.run_outcome was discarded"}, 60)
        assert "in its place (canvas.run_outcome was discarded)" in str(run.status())
    bench.open(gate)
    with WorkerProcess("canvas", broker, backend, "-P", "solo", "-Q", "ours,celery", ledger=ledger):
        assert run.resume(force=True)
        assert run.get(timeout=60) == 2
    app.close()


def test_one_item_of_many_that_a_stock_worker_takes(bench):
    """It counts for a cancellation, wherever it is in the map."""
    broker, backend, ledger = map(bench.server.url, (5, 6, 2))  # apart from the workers of the fleet
    app, stock = (make(library, broker, backend, ledger=ledger) for library in ("canvas", "celery"))
    flow = Workflow("wide", app)
    flow.map(app.tasks["t.ident"].s(), over=list(range(1_100)), name="wide")
    run = flow.apply_async()
    stock.backend.store_result(f"{run['wide'].id}.1045", 1045, "SUCCESS")
    assert run.status().by_celery == {"wide": "1 of the 100 tasks that were looked at"}
    assert run.cancel()
    with WorkerProcess("canvas", broker, backend, "-P", "threads", "-c", "2", ledger=ledger):
        eventually(lambda: run.query() == "CANCELLED", 60)
    app.close()
