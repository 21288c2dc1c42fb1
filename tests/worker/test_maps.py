"""Maps: a task for each item of a list, in lanes, in batches, in lines (``mapped.map(sig)``)."""

import pytest

from canvas import Workflow, chain, chord, group
from canvas.errors import NodeTimeout
from canvas.testing.contract import eventually
from tests.worker.commands import named, served_app, states, task

app = served_app("-P", "threads", "-c", "4", short_leases=1)


def test_an_item_does_not_wait_for_the_others(bench, app, flow):
    first, second, third = (bench.new_key() for _ in range(3))
    items = flow.add(task(app, "ident").s([0, 1, 2, 3]))
    held = items.map(task(app, "held_item").s(first, 1), name="held")
    added = held.map(task(app, "noted").s(second), name="noted")
    last = added.map(task(app, "noted").s(third), name="last", concurrency=2)
    flow.add(task(app, "rec").s("end", held, last), name="end")
    run = flow.apply_async()
    bench.ledger(second, 3)
    eventually(lambda: states(run)["noted"] == "STARTED")
    assert states(run)["held"] != "SUCCESS"
    assert sorted(bench.notes(second)) == ["0", "2", "3"]
    bench.ledger(third, 1)
    bench.open(first)
    assert run.get(timeout=20) == ["end", [[0, 1, 2, 3], [0, 1, 2, 3]], {}]
    assert sorted(bench.notes(third)) == ["0", "1", "2", "3"]


def composed(app, flow, counts, gate, **options):
    """Three maps, the second of which fails for item 2 while the gate is closed; each item costs a note."""
    keys = iter(counts)
    rows = flow.add(task(app, "ident").s([0, 1, 2, 3, 4]), name="rows")
    doubled = rows.map(task(app, "noted").s(next(keys)), name="first", **options)
    gated = doubled.map(task(app, "needs_gate").s(next(keys), gate), name="gated", **options)
    return gated.map(task(app, "noted").s(next(keys)), name="last", **options)


def ran(bench, keys):
    return [len(bench.notes(key)) for key in keys]


@pytest.mark.parametrize("options", [{}, {"concurrency": 2}], ids=["all at once", "two at once"])
def test_a_resumed_line_runs_what_failed_and_what_comes_after_it(bench, app, flow, options):
    counts, gate = [bench.new_key() for _ in range(3)], bench.new_key()
    composed(app, flow, counts, gate, **options)
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    assert states(run) == {"rows": "SUCCESS", "first": "SUCCESS", "gated": "FAILURE", "last": "UPSTREAM_FAILED"}
    assert ran(bench, counts) == [5, 5, 4]
    bench.open(gate)
    assert run.resume()
    assert run.get(timeout=20) == [0, 1, 2, 3, 4]
    assert ran(bench, counts) == [5, 6, 5]
    assert run.again("gated")
    assert run.get(timeout=20) == [0, 1, 2, 3, 4]
    assert ran(bench, counts) == [5, 11, 10]
    assert run.again("first")
    assert run.get(timeout=20) == [0, 1, 2, 3, 4]
    assert ran(bench, counts) == [10, 16, 15]


def test_a_first_map_that_is_resumed_goes_on_feeding(bench, app, flow):
    counts, after, gate = bench.new_key(), bench.new_key(), bench.new_key()
    rows = flow.add(task(app, "ident").s([0, 1, 2, 3]), name="rows")
    gated = rows.map(task(app, "needs_gate").s(counts, gate), name="gated", batch=2)
    gated.map(task(app, "noted").s(after), name="last")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    assert ran(bench, [after]) == [2]
    bench.open(gate)
    assert run.resume()
    assert run.get(timeout=20) == [0, 1, 2, 3]
    assert ran(bench, [after]) == [4]


@pytest.mark.parametrize("options", [{}, {"concurrency": 1}], ids=["all at once", "one at a time"])
def test_cancelled(bench, app, flow, options):
    key, after = bench.new_key(), bench.new_key()
    rows = flow.add(task(app, "ident").s([0, 1, 2, 3]), name="rows")
    held = rows.map(task(app, "held_item").s(key, 0), name="held", **options)
    held.map(task(app, "noted").s(after), name="after", **options)
    flow.finally_(task(app, "noted").si("clean", after), name="clean")
    run = flow.apply_async()
    bench.ledger(key, 1)
    run.cancel()
    bench.open(key)
    run.result.get(timeout=20, propagate=False)
    assert run.status().state == "CANCELLED"
    assert states(run)["after"] in ("UPSTREAM_FAILED", "REVOKED", "FAILURE")
    assert states(run)["clean"] == "SUCCESS"


def test_a_revoked_item_does_not_keep_the_others_of_its_lane(bench, app, flow):
    key, items = bench.new_key(), bench.new_key()
    hold = flow.add(task(app, "until_open").s(key), name="hold")
    rows = flow.add(task(app, "ident").s([0, 1, 2, 3]), name="rows", after=hold)
    rows.map(task(app, "noted").s(items), name="mapped", concurrency=1)
    run = flow.apply_async()
    bench.ledger(key, 1)
    item = f"{run['mapped'].id}.1"
    app.control.revoke(item)
    eventually(lambda: any(item in ids for ids in (app.control.inspect().revoked() or {}).values()))
    bench.open(key)
    run.result.get(timeout=20, propagate=False)
    assert sorted(bench.notes(items)) == ["0", "2", "3"]
    assert states(run)["mapped"] == "FAILURE"


def test_a_failure_that_stops_a_map_stops_the_maps_after_it(bench, app, flow):
    key = bench.new_key()
    rows = flow.add(task(app, "ident").s(list(range(20))), name="rows")
    failing = rows.map(task(app, "fail").s(), name="failing", stop_after=2, concurrency=2)
    after = failing.map(task(app, "noted").s(key), name="after")
    after.map(task(app, "noted").s(key), name="last")
    flow.add(task(app, "ident").s("done"), after=after, when="all_done", name="done")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="boom"):
        run.get(timeout=20)
    wanted = {"rows": "SUCCESS", "failing": "FAILURE", "after": "UPSTREAM_FAILED", "last": "UPSTREAM_FAILED"}
    assert states(run) == {**wanted, "done": "SUCCESS"}
    assert bench.notes(key) == []


def test_a_limit_of_a_map_in_a_line(bench, app, flow):
    key, after = bench.new_key(), bench.new_key()
    rows = flow.add(task(app, "ident").s([0, 1, 2]), name="rows")
    held = rows.map(task(app, "held_item").s(key, 1), name="held")
    flow.timeout(held.map(task(app, "noted").s(after), name="after"), 1.5)
    run = flow.apply_async()
    eventually(lambda: states(run)["after"] == "FAILURE")
    assert states(run)["held"] != "SUCCESS"
    bench.open(key)
    with pytest.raises(NodeTimeout, match=r"after had not ended 1.5 s after its start"):
        run.get(timeout=20)
    assert states(run)["held"] == "SUCCESS"


@pytest.mark.parametrize("size", [0, 1, 3, 1300])
def test_a_map_runs_a_task_for_each_item(app, flow, size):
    items = flow.add(task(app, "upto").s(size))
    one = flow.add(task(app, "ident").s(100), name="one")
    mapped = flow.map(task(app, "add").s(one), over=items, name="mapped")
    again = flow.map(task(app, "add").s(y=1), over=mapped, name="again")
    flow.add(task(app, "tsum").s(again))
    run = flow.apply_async()
    assert run.get(timeout=60) == sum(range(101, 101 + size))
    assert run["mapped"].get() == list(range(100, 100 + size))


def test_a_map_over_lists_of_lists(app, flow):
    items = flow.add(task(app, "ident").s([[1, 2], [], [3]]), name="items")
    flow.map(task(app, "add").s(10), over=items, depth=2, name="nested")
    run = flow.apply_async()
    assert run.get(timeout=20) == [[11, 12], [], [13]]
    empty = Workflow("empty", app)
    empty.map(task(app, "add").s(1), over=empty.add(task(app, "ident").s([[], []])), depth=2, name="nested")
    assert empty.apply_async().get(timeout=20) == [[], []]


@pytest.mark.slow
def test_a_map_over_100_000_items(app, flow):
    items = flow.add(task(app, "upto").s(100_000))
    flow.add(task(app, "tsum").s(flow.map(task(app, "ident").s(), over=items)))
    assert flow.apply_async().get(timeout=110) == sum(range(100_000))


def test_a_map_of_composites_and_of_what_is_no_list(app, flow):
    items = flow.add(task(app, "upto").s(3))
    add = task(app, "add")
    flow.map(chain(add.s(1), group(add.s(10), add.s(20))), over=items, name="groups")
    run = flow.apply_async()
    assert run.get(timeout=20) == [[11, 21], [12, 22], [13, 23]]
    wrong = Workflow("wrong", app)
    wrong.map(add.s(1), over=wrong.add(task(app, "ident").s(5)), name="over five")
    with pytest.raises(Exception, match="over five: expected a list to map over; got int 5"):
        wrong.apply_async().get(timeout=20)


def test_items_that_fail_fail_their_map_or_give_its_default(app, flow):
    items = flow.add(task(app, "ident").s([1, "x", 3]), name="items")
    flow.map(task(app, "add").s(1), over=items, name="hard")
    flow.map(task(app, "add").s(1), over=items, name="soft", on_failure="continue", default=0)
    run = flow.apply_async()
    with pytest.raises(TypeError):
        run.get(timeout=20)
    assert run["soft"].get(timeout=20) == [2, 0, 4]
    assert states(run) == {"items": "SUCCESS", "hard": "FAILURE", "soft": "SUCCESS"}


def most_at_once(notes):
    """The most of these starts and ends that were open at once."""
    running = most = 0
    for note in notes:
        running += 1 if note == "start" else -1
        most = max(most, running)
    return most


def test_a_map_runs_so_many_items_at_once(bench, app, flow):
    key = bench.new_key()
    items = flow.add(task(app, "ident").s(list(range(20))), name="items")
    flow.map(task(app, "paused").s(key), over=items, concurrency=2, name="map")
    assert flow.apply_async().get(timeout=30) == list(range(20))
    notes = bench.ledger(key, 40)
    assert most_at_once(notes) == 2


def test_a_run_runs_so_many_tasks_at_once(bench, app, flow):
    key, other = bench.new_key(), bench.new_key()
    paused = task(app, "paused")
    inner = Workflow("inner", app)
    given = inner.input("x")
    for _ in range(3):
        inner.add(paused.s(given, key))
    items = flow.add(task(app, "ident").s(list(range(6))), name="items")
    flow.map(paused.s(key), over=items, name="map")
    flow.map(paused.s(key), over=items, batch=2, name="batches")
    flow.map(inner, over=items, name="each")
    flow.add(inner, inputs={"x": 1}, name="inner")
    flow.add(chain(paused.s(1, key), group(paused.s(key), paused.s(key))), name="composite")
    flow.loop(paused.s(key), 1, at_most=3, name="loop")
    flow.add(task(app, "builds_paused").s(key), name="grown")
    flow.add(task(app, "swap").s(chord([paused.s(1, key)] * 3, task(app, "ident").s())), name="replaced")
    simple = Workflow("simple", app)
    simple.map(paused.s(other), over=list(range(20)))
    run, beside = flow.apply_async(concurrency=2), simple.apply_async()
    run.get(timeout=60)
    notes = bench.ledger(key, 2 * (6 + 6 + 18 + 3 + 3 + 3 + 3 + 3))
    assert most_at_once(notes) == 2
    beside.get(timeout=60)
    assert most_at_once(bench.ledger(other, 40)) > 2
    eventually(lambda: not any(b"run:" in name for name in bench.broker.keys("canvas:*permits*")))


def test_a_large_map_in_lanes(app, flow):
    items = flow.add(task(app, "upto").s(1200), name="items")
    mapped = flow.map(task(app, "add").s(1), over=items, concurrency=700)
    flow.add(task(app, "tsum").s(mapped))
    assert flow.apply_async().get(timeout=60) == sum(range(1200)) + 1200


def test_batches_of_a_map(bench, app, flow):
    items = flow.add(task(app, "ident").s([1, 2, 3, 4, 5, 6, 7]), name="items")
    flow.map(task(app, "add").s(10), over=items, batch=3, name="add")
    run = flow.apply_async()
    assert run.get(timeout=20) == [11, 12, 13, 14, 15, 16, 17]
    ids = [f"{run.id}.0.2.{item}" for item in range(3)]
    assert [app.AsyncResult(one).get(timeout=5) for one in ids] == [[11, 12, 13], [14, 15, 16], [17]]
    nested = Workflow("nested", app)
    lists = nested.add(task(app, "ident").s([[1, 2], [], [3]]), name="lists")
    nested.map(task(app, "add").s(1), over=lists, depth=2, batch=2, concurrency=1)
    assert nested.apply_async().get(timeout=20) == [[2, 3], [], [4]]


def test_a_batch_that_fails_has_the_default_of_each_item(app, flow):
    items = flow.add(task(app, "ident").s([1, "x", 3, 4, 5]), name="items")
    flow.map(task(app, "add").s(1), over=items, batch=2, on_failure="continue", default=0)
    assert flow.apply_async().get(timeout=20) == [0, 0, 4, 5, 6]


def test_a_batch_is_retried_as_its_task(bench, app):
    runs, keys = [], [bench.new_key(), bench.new_key()]
    for key, calls in zip(keys, (3, 9), strict=True):
        flow = Workflow("retried", app)
        flow.map(task(app, "auto_item").s(calls, key), over=[1, 2], batch=2, name="items")
        runs.append(flow.apply_async())
    assert runs[0].get(timeout=30) == [1, 2]
    with pytest.raises(KeyError, match="again"):
        runs[1].get(timeout=30)
    assert [bench.ledger(key, 3) for key in keys] == [["1", "1", "1", "2"], ["1", "1", "1"]]


def test_a_map_stops_after_so_many_failures(bench, app, flow):
    key = bench.new_key()
    items = flow.add(task(app, "ident").s(list(range(400))), name="items")
    flow.map(task(app, "gated").s(key=key), over=items, concurrency=2, stop_after=3, name="map")
    named(app, flow, "after", flow["map"])
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=30)
    assert states(run) == {"items": "SUCCESS", "map": "FAILURE", "after": "UPSTREAM_FAILED"}
    assert len(bench.ledgers.lrange(f"ledger:{key}", 0, -1)) < 400


def test_a_map_in_lanes_is_resumed_with_what_it_has(bench, app, flow):
    counts, gate = bench.new_key(), bench.new_key()
    items = flow.add(task(app, "ident").s([0, 1, 2, 3, 4, 5]), name="items")
    flow.map(task(app, "needs_gate").s(counts, gate), over=items, concurrency=2, name="map")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    eventually(lambda: len(bench.ledgers.lrange(f"ledger:{counts}", 0, -1)) == 6)
    bench.open(gate)
    assert run.resume() is True
    run.get(timeout=20)
    assert len(bench.ledger(counts, 7)) == 7
