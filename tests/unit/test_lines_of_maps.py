"""Lines of maps in this process: what is refused, how they end, and that they give what plain lists give."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas import Canvas, Workflow
from canvas.errors import CompositionError
from canvas.graph.run_nodes import run_nodes
from canvas.workflows.steps.spread.lines import shares_of
from tests.unit.flows import sig


@pytest.fixture(scope="module")
def app():
    app = Canvas("lines", broker="memory://", backend="memory://")

    @app.task(name="ident", shared=False)
    def ident(x):
        return x

    @app.task(name="more", shared=False)
    def more(x, y=1):
        return x + y

    @app.task(name="picky", shared=False)
    def picky(x, bad):
        if x in bad:
            raise ValueError(f"bad {x}")
        return x

    return app


@pytest.fixture
def flow(app):
    return Workflow("flow", app)


def test_a_race_that_a_line_loses_does_not_fail_the_run(app, flow):
    nap = flow.sleep(10)
    items = flow.add(sig(app, "ident", [1, 2]), name="items", after=nap)
    line = flow.map(sig(app, "more"), items, name="before").map(sig(app, "more"), name="line")
    flow.first(line, flow.sleep(1, name="quick"), name="first")
    run = flow.apply()
    assert (run.status().state, run["first"].get()) == ("SUCCESS", None)


def _takes_what_comes_later(flow, app, mapped):
    mapped.map(sig(app, "more", flow.add(sig(app, "ident", mapped), name="sum")), name="line")


def _takes_the_whole(flow, app, mapped):
    mapped.map(sig(app, "more", mapped), name="line")


def _feeder_starts_early(flow, app, mapped):
    early = flow.map(sig(app, "more"), mapped, after=flow.add(sig(app, "ident", 1)), when="any_done", name="early")
    early.map(sig(app, "more", flow.add(sig(app, "ident", 1), name="late")), name="line")


def _arm(flow, app, mapped):
    flow.branch(flow.add(sig(app, "ident", 1)), {1: mapped.map(sig(app, "more"), name="line")}, name="choice")


def _composite_batch(flow, app, mapped):
    mapped.map(sig(app, "more") | sig(app, "more"), name="line", batch=2)


def _of_a_task(flow, app, mapped):
    flow.pipe(sig(app, "more"), flow["rows"], name="line")


@pytest.mark.parametrize(
    ("compose", "text"),
    [
        (_takes_what_comes_later, "line: sum ends after mapped has begun, so that no result of mapped could be taken"),
        (_takes_the_whole, "line: its signature takes the whole result of mapped"),
        (_feeder_starts_early, "line: early starts by any_done, and does not wait for late: use flow.map"),
        (_arm, "choice: line starts with the items of mapped: let the first map of the line be the arm"),
        (_composite_batch, "line: batch: expected the signature of one task"),
        (_of_a_task, "line: expected a map of this workflow; got <Node rows>; use flow.map"),
        (lambda flow, app, mapped: mapped.map(sig(app, "more"), concurrency=0), "concurrency: expected a whole number"),
        (lambda flow, app, mapped: mapped.map(3), "expected a signature"),
    ],
)
def test_refused(app, flow, compose, text):
    rows = flow.add(sig(app, "ident", [1]), name="rows")
    with pytest.raises(CompositionError, match=text):
        compose(flow, app, rows.map(sig(app, "more"), name="mapped"))


def test_stock_workers_cannot(app, flow):
    rows = flow.add(sig(app, "ident", [1]), name="rows")
    rows.map(sig(app, "more"), name="mapped").map(sig(app, "more"), name="line")
    with pytest.raises(CompositionError, match="mapped: stock Celery workers cannot map over a result"):
        flow.apply_async(target="celery")


def test_order_of_a_map_in_a_line(app, flow):
    rows, gate = flow.add(sig(app, "ident", [1, 2]), name="rows"), flow.add(sig(app, "ident", 0), name="gate")
    mapped = rows.map(sig(app, "more"), name="mapped")
    line = mapped.map(sig(app, "more"), name="line")
    flow.order(gate, line)
    names = {node.name: node for node in run_nodes(flow.entries)}
    assert names["mapped"].slots == ["data", "order"]
    assert names["line"].slots == ["data", "order"]
    assert flow.apply().get() == [3, 4]


def test_handles_of_maps(app, flow):
    rows = flow.add(sig(app, "ident", {"ids": [1, 2]}), name="rows")
    rows["ids"].map(sig(app, "more"), name="mapped")
    two = flow["mapped"].map(sig(app, "more"), name="two")
    three = flow["mapped"].map(sig(app, "more", 10), name="three", on_failure="continue")
    flow.add(sig(app, "ident", [two, three]), name="end")
    assert flow.apply().get() == [[3, 4], [12, 13]]


def test_nested_lists_keep_their_shape(app, flow):
    rows = flow.add(sig(app, "ident", [[1, 2], [], [3]]), name="rows")
    mapped = rows.map(sig(app, "more"), name="mapped", depth=2)
    mapped.map(sig(app, "more"), name="line", batch=2)
    assert flow.apply().get() == [[3, 4], [], [5]]


def test_a_line_inside_another_workflow(app, flow):
    inner = Workflow("inner", app)
    inner.input("rows").map(sig(app, "more"), name="mapped").map(sig(app, "more"), name="line")
    flow.add(inner, inputs={"rows": flow.add(sig(app, "ident", [1, 2, 3]))})
    assert flow.apply().get() == [3, 4, 5]


def states(run):
    return {node.name: node.state for node in run.status().nodes}


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ("no list", {"mapped": "FAILURE", "line": "UPSTREAM_FAILED", "last": "UPSTREAM_FAILED"}),
        ([], {"mapped": "SUCCESS", "line": "SUCCESS", "last": "SUCCESS"}),
    ],
)
def test_a_line_without_items(app, flow, rows, wanted):
    mapped = flow.add(sig(app, "ident", rows), name="rows").map(sig(app, "more"), name="mapped")
    line = mapped.map(sig(app, "more"), name="line")
    line.map(sig(app, "more"), name="last", batch=2)
    run = flow.apply()
    assert states(run) == {"rows": "SUCCESS", **wanted}


def test_a_line_that_is_skipped(app, flow):
    rows = flow.add(sig(app, "ident", [1]), name="rows")
    mapped = rows.map(sig(app, "more"), name="mapped")
    mapped.map(sig(app, "more"), name="line")
    flow.branch(flow.add(sig(app, "ident", 1), name="on"), {2: mapped}, otherwise=sig(app, "ident", 3), name="choice")
    run = flow.apply()
    assert {name: state for name, state in states(run).items() if name in ("mapped", "line")} == {
        "mapped": "SKIPPED",
        "line": "SKIPPED",
    }


@st.composite
def spread(draw):
    options = draw(st.fixed_dictionaries({}, optional={"batch": st.integers(1, 4), "concurrency": st.integers(1, 4)}))
    bad = draw(st.sets(st.integers(0, 11), max_size=2)) if draw(st.booleans()) else set()
    return options, sorted(bad), draw(st.booleans())


def evaluated(items, maps):
    """What each map ends with: a list, or ``None`` for a failure."""
    ends = []
    for options, bad, goes_on in maps:
        size, done = options.get("batch", 1), []
        for at in range(0, len(items), size):
            of_batch = items[at : at + size]
            if any(one is None for one in of_batch):
                done += [None] * len(of_batch)
            elif any(one in bad for one in of_batch):
                done += [100 if goes_on else None] * len(of_batch)
            else:
                done += of_batch
        items = done
        ends.append(None if None in items else items)
    return ends


@settings(max_examples=60)
@given(st.integers(0, 12), st.lists(spread(), min_size=2, max_size=4))
def test_a_line_gives_what_plain_lists_give(app, count, maps):
    flow = Workflow("drawn", app)
    handle = flow.add(sig(app, "ident", list(range(count))), name="rows")
    for at, (options, bad, goes_on) in enumerate(maps):
        policy = {"on_failure": "continue", "default": 100} if goes_on else {}
        handle = handle.map(sig(app, "picky", bad), name=f"m{at}", **options, **policy)
    run = flow.apply()
    for at, wanted in enumerate(evaluated(list(range(count)), maps)):
        state = states(run)[f"m{at}"]
        if wanted is None:
            assert state in ("FAILURE", "UPSTREAM_FAILED"), (count, maps, run.status())
        else:
            assert (state, run[f"m{at}"].get()) == ("SUCCESS", wanted), (count, maps)


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 7))
def test_each_item_is_in_one_share_and_each_unit_gets_all_its_shares(items, of_feeder, of_map):
    found, slots = {}, {}
    for fed in range(-(-items // of_feeder)):
        for share in shares_of(fed, of_feeder, of_map, items):
            slots.setdefault(share.unit, []).append((share.slot, share.shares))
            found.setdefault(share.unit, []).extend(range(fed * of_feeder + share.first, fed * of_feeder + share.last))
    assert [one for unit in sorted(found) for one in found[unit]] == list(range(items))
    for unit, given_slots in slots.items():
        assert found[unit] == list(range(unit * of_map, min(items, (unit + 1) * of_map)))
        assert [slot for slot, _ in given_slots] == list(range(given_slots[0][1]))
