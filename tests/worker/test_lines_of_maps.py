"""``mapped.map(sig)``: each item goes on to the next map as soon as it is done."""

import pytest

from canvas.errors import NodeTimeout
from canvas.testing.contract import eventually
from tests.worker.commands import served_app, states, task

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
