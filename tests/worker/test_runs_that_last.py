"""Workflows that take longer than results are kept, maps that are resumed, and nodes that start by the thousand."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas import Workflow
from canvas.errors import RunLost, WorkflowFailed
from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.processes import WorkerProcess
from tests.worker.brief import EXPIRES, brief_bench
from tests.worker.commands import start, states, task


@pytest.fixture(scope="module")
def brief():
    with brief_bench(8) as bench:
        yield bench


@pytest.fixture
def brief_app(brief):
    broker, backend, ledger = brief.urls()
    app = make("canvas", broker, backend, ledger=ledger, result_expires=EXPIRES, workflow_run_expires=EXPIRES)
    yield app
    app.close()


def gated(app, flow, key, *args, **options):
    """A node that succeeds once ``open_gate`` was called."""
    return flow.add(task(app, "gated").s(*args, key=key), **options)


def open_gate(bench, key):
    bench.open(key)


def outlast(bench):
    """Wait until what was stored a moment ago, for as long as results are kept, is gone."""
    bench.results.set("mark", "1", ex=EXPIRES + 1)
    eventually(lambda: not bench.results.exists("mark"))


def test_what_succeeded_long_ago_is_compensated(brief, brief_app):
    app, key, gate = brief_app, brief.new_key(), brief.new_key()
    flow = Workflow("saga", app)
    first = flow.add(task(app, "ident").s(1), name="first", compensate=task(app, "noted").si("undone", key))
    slow = flow.add(task(app, "until_open").s(gate), name="slow", after=[first])
    flow.add(task(app, "fail").s(), name="fails", after=[slow])
    run = flow.apply_async()
    eventually(lambda: states(run)["first"] == "SUCCESS")
    outlast(brief)
    assert states(run)["first"] == "SUCCESS"
    brief.open(gate)
    with pytest.raises(ValueError, match="boom"):
        run.get(timeout=20)
    assert len(brief.ledger(key, 1)) == 1


@pytest.mark.parametrize("grown", [False, True], ids=["a node", "returned by a task"])
def test_what_succeeded_inside_long_ago_is_compensated(brief, brief_app, grown):
    app, key, gate = brief_app, brief.new_key(), brief.new_key()
    flow, inner = Workflow("saga", app), Workflow("inner", app)
    inner.add(task(app, "traced").s(1, key), compensate=task(app, "traced").s(key))
    first = flow.add(task(app, "builds_traced").s(key) if grown else inner, name="first")
    flow.add(task(app, "fail").s(), after=flow.add(task(app, "until_open").s(gate), after=first))
    run = flow.apply_async()
    eventually(lambda: states(run)["first"] == "SUCCESS")
    later = Workflow("later", app)
    later.add(task(app, "ident").s(1))
    ended = later.apply_async()
    eventually(lambda: not brief.results.exists(f"canvas:run:{ended.id}"))
    brief.open(gate)
    with pytest.raises(ValueError, match="boom"):
        run.get(timeout=20)
    assert len(brief.ledger(key, 2)) == 2
    eventually(lambda: not [key for key in brief.results.keys(f"*{run.id}*") if brief.results.ttl(key) > 300])


def test_what_belongs_to_a_run_lives_as_long_as_it_does_and_no_longer(brief, brief_app):
    app, gate = brief_app, brief.new_key()
    flow = Workflow("lasting", app)
    lists = flow.add(task(app, "ident").s([[1], [2, 3]]), name="lists")
    mapped = flow.map(task(app, "ident").s(), over=lists, depth=2, name="mapped")
    quick = flow.add(task(app, "ident").s(7), name="quick")
    slow = flow.add(task(app, "until_open").s(gate), name="slow")
    flow.add(task(app, "rec").s("end", mapped, quick, slow), name="end")
    run = flow.apply_async()
    eventually(lambda: states(run)["mapped"] == "SUCCESS")
    outlast(brief)
    assert states(run) == {
        "lists": "SUCCESS", "mapped": "SUCCESS", "quick": "SUCCESS", "slow": "PENDING", "end": "WAITING",
    }  # fmt: skip
    assert run.status().state == "STARTED"
    brief.open(gate)
    assert run.get(timeout=20) == ["end", [[[1], [2, 3]], 7, gate], {}]
    eventually(lambda: not [key for key in brief.results.keys(f"*{run.id}*") if brief.results.ttl(key) > 300])
    eventually(lambda: not brief.results.exists(f"canvas:run:{run.id}"))


def test_a_nested_map_outlives_what_results_are_kept_for(brief_app):
    app = brief_app
    flow = Workflow("nested", app)
    lists = flow.add(task(app, "ident").s([[2.5], [0, 2.5]]), name="lists")
    flow.map(task(app, "sleep").s(5), over=lists, depth=2, name="mapped")
    assert flow.apply_async().get(timeout=30) == [[5], [5, 5]]


def test_a_cancelled_run_ends_however_long_ago_it_began(brief, brief_app):
    app, gate = brief_app, brief.new_key()
    flow = Workflow("cancelled", app)
    slow = flow.add(task(app, "until_open").s(gate), name="slow")
    flow.add(task(app, "ident").s(slow), name="never")
    run = flow.apply_async()
    eventually(lambda: states(run)["slow"] in ("PENDING", "STARTED"))
    outlast(brief)
    assert run.cancel()
    assert run.status().state == "CANCELLING"
    brief.open(gate)
    eventually(lambda: run.status().state == "CANCELLED")


def test_a_run_that_waits_for_a_worker_is_kept(brief, brief_app):
    app = brief_app
    flow = Workflow("waiting", app)
    both = [flow.add(task(app, "ident").s(n).set(queue="waits"), name=f"n{n}") for n in range(2)]
    flow.add(task(app, "rec").s("end", *both), name="end")
    run = flow.apply_async()
    outlast(brief)
    broker, backend, ledger = brief.urls()
    options = {"ledger": ledger, "expires": EXPIRES, "run_expires": EXPIRES}
    with (
        ThreadPoolExecutor(1) as pool,
        WorkerProcess("canvas", broker, backend, "-P", "solo", "-Q", "waits", **options),
    ):
        assert pool.submit(run.get, timeout=20).result() == ["end", [0, 1], {}]


@pytest.mark.parametrize("gone", ["join", "join of a node with a limit", "run"])
def test_a_run_whose_state_is_gone_ends_in_failure(brief, brief_app, gone):
    app, key = brief_app, brief.new_key()
    flow = Workflow("gone", app)
    first, slow = flow.add(task(app, "ident").s(1), name="a"), flow.add(task(app, "until_open").s(key), name="b")
    end = flow.add(task(app, "rec").s("end", first, slow), name="end")
    if gone == "join of a node with a limit":
        flow.timeout(end, 60)
    run = flow.apply_async()
    join = eventually(lambda: brief.results.keys(f"celery-taskset-meta-{run.id}.*.j"))
    if gone == "run":
        brief.results.flushdb()
    else:
        brief.results.delete(*join, *(key.replace(b".j", b".d") for key in join))
    brief.open(key)
    with pytest.raises((RunLost, WorkflowFailed)):
        run.get(timeout=20)
    eventually(lambda: any("gone" in line and run.id in line for line in brief.worker.log))


@pytest.mark.parametrize("shape", ["flat", "nested", "sliced"])
def test_items_that_have_succeeded_do_not_run_again(bench, app, flow, shape):
    key, gate = bench.new_key(), bench.new_key()
    items = {"flat": [0, 1, 2, 3], "nested": [[0, 1], [], [2, [3]]], "sliced": list(range(1100))}[shape]
    depth = 2 if shape == "nested" else 1
    lists = flow.add(task(app, "ident").s(items), name="lists")
    mapped = flow.map(task(app, "needs_gate").s(counts=key, key=gate), over=lists, depth=depth, name="mapped")
    flow.add(task(app, "ident").s(mapped), name="end")
    failing = 2 if shape == "nested" else 1
    with start(bench, "-P", "threads", "-c", "4"):
        run = flow.apply_async()
        with pytest.raises(ValueError, match="closed"):
            run.get(timeout=60)
        count = bench.ledgers.llen(f"ledger:{key}")
        for opens in (False, True):
            if opens:
                open_gate(bench, gate)
            assert run.resume()
            if not opens:
                with pytest.raises(ValueError, match="closed"):
                    run.get(timeout=60)
        assert run.get(timeout=60) == items
    ran = bench.ledgers.lrange(f"ledger:{key}", 0, -1)
    assert count == (4 if shape == "nested" else len(items))
    assert set(ran[count:]) == ({"2", "[3]"} if shape == "nested" else {"2"})
    assert len(ran) == count + 2 * failing


def test_items_of_another_list_run_all(bench, app, flow):
    """What stands on a compensated node runs again, whatever had succeeded of it."""
    key, gate = bench.new_key(), bench.new_key()
    source = flow.add(task(app, "ident").s([0, 1, 2]), name="source", compensate=task(app, "ident").si(None))
    flow.map(task(app, "needs_gate").s(counts=key, key=gate), over=source, name="mapped")
    with start(bench, "-P", "threads", "-c", "4"):
        run = flow.apply_async()
        with pytest.raises(ValueError, match="closed"):
            run.get(timeout=30)
        open_gate(bench, gate)
        assert run.resume()
        assert run.get(timeout=30) == [0, 1, 2]
    assert sorted(bench.ledgers.lrange(f"ledger:{key}", 0, -1)) == sorted(["0", "1", "2"] * 2)


def test_a_client_starts_every_node_that_waits_for_nothing(bench, app, flow):
    for number in range(1200):
        flow.add(task(app, "ident").s(number), name=f"n{number}")
    run = flow.apply_async()
    assert bench.broker.llen("celery") == 1200
    assert len(bench.results.keys("canvas:chords:ready*")) == 0
    with start(bench, "-P", "threads", "-c", "4"):
        assert run.get(timeout=120) == {f"n{number}": number for number in range(1200)}


def test_a_resumed_run_starts_every_node_that_waits_for_nothing(bench, app, flow):
    for number in range(1200):
        flow.add(task(app, "ident").s(number), name=f"n{number}")
    run = flow.apply_async()
    bench.broker.delete("celery")
    assert run.resume(force=True)
    assert bench.broker.llen("celery") == 1200
    assert not bench.results.exists("canvas:chords:ready")
    run.cancel()
    bench.broker.delete("celery")
