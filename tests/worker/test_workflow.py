"""Workflows on canvas' worker: values, failures, choices, maps."""

import json

import pytest

from canvas import Canvas, Signature, Workflow, chain, chord, group
from canvas.errors import (
    ChordError,
    UpstreamFailed,
    WorkflowFailed,
)
from canvas.testing.contract import eventually
from tests.worker.commands import named, served_app, states, task

app = served_app("-P", "threads", "-c", "4")


def test_a_part_that_is_not_there_fails_its_node(app, flow):
    parts = flow.add(task(app, "parts").s(1))
    flow.add(task(app, "ident").s(parts["nothing"]), name="wanting")
    run = flow.apply_async()
    with pytest.raises(KeyError):
        run.get(timeout=20)
    assert states(run) == {"parts": "SUCCESS", "wanting": "FAILURE"}


def test_composites_are_nodes(app, flow):
    add = task(app, "add")
    first = flow.add(chain(add.s(1, 1), add.s(2)), name="chain")
    both = flow.add(group(add.s(first, 1), add.s(first, 2)), name="group")
    last = flow.add(chord([add.s(both[0], 10), add.s(both[1], 20)], task(app, "tsum").s()), name="chord")
    flow.add(chain(group(add.s(last, 1), add.s(last, 2))), name="ends in a group")
    run = flow.apply_async()
    assert run.get(timeout=20) == [42, 43]
    assert run.results() == {"chain": 4, "group": [5, 6], "chord": 41, "ends in a group": [42, 43]}


def test_what_ends_in_a_group_is_a_list(app, flow):
    add, rec, ident = (task(app, name) for name in ("add", "rec", "ident"))
    pair = [ident.si("x"), ident.si("y")]
    shapes = {
        "chord": chord([ident.s(1)], group(pair)),
        "chain": chain(ident.s(0), chord([ident.si(1)], group(pair))),
        "nothing": chord([ident.s(1)], group()),
        "chunks": add.chunks([(1, 1), (2, 2), (3, 3)], 2),
        "replaced": task(app, "swap").s(chord([ident.si(1)], group(pair))),
    }
    for name, shape in shapes.items():
        flow.add(rec.s(flow.add(shape, name=name)), name=f"after {name}")
    run = flow.apply_async()
    run.get(timeout=20)
    found = {name: run.results()[f"after {name}"][0] for name in shapes}
    both = ["x", "y"]
    assert found == {"chord": both, "chain": both, "nothing": [], "chunks": [[2, 4], [6]], "replaced": both}


def test_what_fails_before_a_group_behind_a_chord_fails_its_node(app, flow):
    ident, fail = task(app, "ident"), task(app, "fail")
    behind = chord([ident.si(1), fail.si()], group(ident.si("x"), ident.si("y")))
    shapes = {"chord": behind, "chain": chain(ident.s(0), behind), "body": chord([fail.si()], group())}
    for name, shape in shapes.items():
        flow.add(ident.s(flow.add(shape, name=name)), name=f"after {name}")
    run = flow.apply_async()
    with pytest.raises(ChordError):
        run.get(timeout=20)
    eventually(lambda: run.status().over)
    wanted = {name: "FAILURE" for name in shapes} | {f"after {name}": "UPSTREAM_FAILED" for name in shapes}
    assert states(run) == wanted


@pytest.fixture
def unaware(bench, app):
    """A workflow of an app that does not know the tasks, so that their arguments are not checked as it is composed."""
    broker, backend, _ = bench.urls()
    with Canvas("unaware", broker=broker, backend=backend, set_as_current=False) as stranger:
        yield Workflow("flow", stranger)


def unchecked(name, *args, **kwargs):
    return Signature(f"t.{name}", args, kwargs)


def test_a_run_whose_nodes_all_end_as_it_starts_tells_why(unaware):
    unaware.add(unchecked("add", 1, 2, 3), name="too many")
    unaware.app.task(name="t.add", shared=False)(lambda x, y: x + y)
    run = unaware.apply_async()
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        run.get(timeout=20)
    assert states(run) == {"too many": "FAILURE"}


def test_a_composite_that_fails_inside_fails_its_node(app, flow):
    add, fail = task(app, "add"), task(app, "fail")
    broken = flow.add(chain(fail.s(), add.s(2)), name="chain")
    flow.add(chord([add.s(1, 1), fail.s()], task(app, "tsum").s()), name="chord")
    flow.add(task(app, "ident").s(broken), name="after")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="boom") as raised:
        run.get(timeout=20)
    assert isinstance(raised.value.__cause__, WorkflowFailed)
    assert states(run) == {"chain": "FAILURE", "chord": "FAILURE", "after": "UPSTREAM_FAILED"}
    with pytest.raises(UpstreamFailed, match=r"after did not run: ValueError\('boom', 42\)"):
        run["after"].get(timeout=5)


def test_a_failure_leaves_siblings_alone(app, flow):
    fine = named(app, flow, "fine")
    broken = flow.add(task(app, "fail").s(fine))
    named(app, flow, "below", broken)
    named(app, flow, "sibling", fine)
    named(app, flow, "both", broken, fine)
    run = flow.apply_async()
    with pytest.raises(ValueError, match="boom"):
        run.get(timeout=20)
    assert states(run) == {
        "fine": "SUCCESS", "fail": "FAILURE", "below": "UPSTREAM_FAILED", "sibling": "SUCCESS",
        "both": "UPSTREAM_FAILED",
    }  # fmt: skip
    assert run.result.state == "FAILURE"


def test_a_node_that_may_fail_gives_its_default(app, flow):
    soft = flow.add(task(app, "fail").s(), on_failure="continue", default=[7])
    named(app, flow, "after", soft[0])
    run = flow.apply_async()
    assert run.get(timeout=20) == ["after", [7], {}]
    assert states(run) == {"fail": "FAILURE", "after": "SUCCESS"}


def test_a_map_none_of_whose_items_can_be_sent(unaware):
    lists = unaware.add(unchecked("ident", [[1, 2], [3]]), name="lists")
    unaware.map(unchecked("rec", tag=5), over=lists, name="soft", depth=2, on_failure="continue", default=0)
    assert unaware.apply_async().get(timeout=20) == [[0, 0], [0]]


@pytest.mark.parametrize(("value", "chosen"), [("a", "one"), ("b", "two"), ("c", "else"), (1, "else")])
def test_a_branch_runs_one_arm(app, flow, value, chosen):
    on = flow.add(task(app, "ident").s({"kind": value}), name="on")
    rec = task(app, "rec")
    two = flow.add(rec.s("two", on["kind"]), name="two")
    choice = flow.branch(on["kind"], {"a": rec.s("one"), "b": two}, otherwise=rec.s("else"), name="choice")
    below = flow.add(task(app, "ident").s(two), name="below")
    named(app, flow, "merged", choice)
    named(app, flow, "whatever", after=[below])
    run = flow.apply_async()
    run.result.get(timeout=20)
    assert run["choice"].get(timeout=20)[0] == chosen
    assert run["merged"].get(timeout=20)[1][0][0] == chosen
    found = states(run)
    arms = {"one": "choice.a", "two": "two", "else": "choice.otherwise"}
    assert {name: found[node] for name, node in arms.items()} == {
        name: "SUCCESS" if name == chosen else "SKIPPED" for name in arms
    }
    assert found["below"] == found["two"]
    assert found["whatever"] == "SUCCESS"


def test_a_branch_without_a_fitting_arm_is_skipped(app, flow):
    on = flow.add(task(app, "ident").s(3), name="on")
    choice = flow.branch(on, {1: task(app, "ident").s(1)})
    named(app, flow, "after", choice)
    run = flow.apply_async()
    run.get(timeout=20)
    assert states(run) == {"on": "SUCCESS", "branch.1": "SKIPPED", "branch": "SKIPPED", "after": "SKIPPED"}


def test_a_node_may_replace_itself_and_retry(app, flow):
    add = task(app, "add")
    replaced = flow.add(task(app, "swap").s(dict(chain(add.s(1, 1), add.s(5)))), name="replaced")
    grouped = flow.add(task(app, "swap").s(dict(group(add.s(1, 1), add.s(2, 2)))), name="grouped")
    retried = flow.add(task(app, "flaky").s(2), name="retried")
    named(app, flow, "end", replaced, grouped, retried)
    run = flow.apply_async()
    assert run.get(timeout=20) == ["end", [7, [2, 4], 2], {}]


def test_a_million_bytes_pass_once_for_each_edge(app, flow):
    big = flow.add(task(app, "mul").s("x" * 1000, 1000), name="big")
    ends = [flow.add(task(app, "ident").s(big), name=f"end{n}") for n in range(3)]
    flow.add(task(app, "rec").s("n", *ends), name="all")
    assert [len(one) for one in flow.apply_async().get(timeout=20)[1]] == [1_000_000] * 3


def test_many_successors_of_one_node(app, flow):
    first = flow.add(task(app, "ident").s(1), name="first")
    ends = [flow.add(task(app, "add").s(first, n), name=f"n{n}") for n in range(700)]
    flow.add(task(app, "tsum").s(ends))
    assert flow.apply_async().get(timeout=60) == sum(range(1, 701))


def test_an_item_that_does_not_fit_its_task_is_an_item_that_failed(unaware):
    items = unaware.add(unchecked("ident", [[1], 2]), name="items")
    unaware.map(unchecked("rec", tag=5), over=items, name="hard")
    unaware.map(unchecked("rec", tag=5), over=items, name="soft", on_failure="continue", default="none")
    run = unaware.apply_async()
    with pytest.raises(TypeError, match="multiple values for argument 'tag'"):
        run.get(timeout=20)
    assert run["soft"].get(timeout=20) == ["none", "none"]


def test_a_node_whose_message_cannot_be_read_fails_the_run(bench, app, flow):
    flow.add(task(app, "ident").s(1).set(queue="elsewhere"), name="garbled")
    named(app, flow, "after", flow["garbled"])
    run = flow.apply_async()
    raw = json.loads(bench.broker.rpop("elsewhere"))
    raw["content-type"] = "application/x-unheard-of"
    bench.broker.lpush("celery", json.dumps(raw))
    with pytest.raises(Exception, match="x-unheard-of"):
        run.get(timeout=20)
    assert states(run) == {"garbled": "FAILURE", "after": "UPSTREAM_FAILED"}


def test_records_of_canvas_workers_are_not_taken_for_those_of_celery_workers(bench, app, flow):
    """A run is not cancelled by another attempt, which is for nodes that Celery workers have ended."""
    ident = task(app, "ident")
    first = flow.add(ident.s(1), name="first")
    limited = flow.timeout(flow.add(ident.s(first), name="limited"), 60)
    choice = flow.branch(limited, {1: ident.s("one"), 2: ident.s("two")}, name="choice")
    done = [
        flow.map(ident.s(), over=[], name="empty"),
        flow.map(ident.s(), over=[1, 2], stop_after=1, name="map"),
        flow.first(choice, flow.add(ident.s(choice), name="later"), name="race"),
        flow.loop(ident.s(), 1, at_most=2, name="loop"),
        flow.add(task(app, "swap").s(chain(ident.s(1), ident.s())), name="replaced"),
        flow.add(task(app, "builds").s(1, bench.new_key()), name="grown"),
    ]
    wait = flow.wait_for("go", name="wait")
    flow.add(ident.s(wait), name="after", after=done)
    run = flow.apply_async()
    eventually(lambda: {"WAITING", "AWAITING_SIGNAL"}.issuperset(set(states(run).values()) - {"SUCCESS", "SKIPPED"}))
    assert run.status().by_celery == {}
    assert run.cancel()
    eventually(lambda: run.query() == "CANCELLED")
    assert run.refresh().attempt == 0


def test_a_run_that_is_cancelled_by_another_attempt_ends_at_nodes_with_limits(app, flow):
    taken = flow.add(task(app, "ident").s(1).set(queue="of Celery's workers"), name="taken")
    limited = flow.timeout(flow.add(task(app, "ident").s(taken), name="limited"), 60)
    flow.map(task(app, "ident").s(), over=limited, stop_after=1, name="map")
    run = flow.apply_async()
    app.backend.store_result(run["taken"].id, [1], "SUCCESS")
    assert run.status().by_celery == {"taken": ""}
    assert run.cancel()
    eventually(lambda: run.query() == "CANCELLED")
    assert run.refresh().attempt == 1
