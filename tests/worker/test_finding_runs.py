"""``app.runs`` and idempotent starts with a worker: states are true, many callers get one run."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas import Workflow
from canvas.model.run_index import RunQuery
from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.dying import killed_at
from tests.worker.commands import canvas, named, served_app, states, task

app = served_app("-P", "threads", "-c", "4", short_leases=1)


def listed(app, name):
    """The states under which runs of this name are listed."""
    return [found.state for found in app.run_store.find(RunQuery(name=name))]


def test_a_run_is_listed_under_the_state_that_it_has(app, bench):
    key = bench.new_key()
    flow = Workflow("states", app)
    held = flow.add(task(app, "until_open").s(key), name="held")
    named(app, flow, "after", held)
    run = flow.apply_async(labels={"key": key})
    assert [one.id for one in app.runs(name="states", state="STARTED", label={"key": key})] == [run.id]
    assert app.runs(name="states", state=["SUCCESS", "FAILURE"]) == []
    bench.open(key)
    run.get(timeout=20)
    assert listed(app, "states") == ["SUCCESS"]
    assert app.runs.count(name="states", state="SUCCESS", label={"key": key}) == 1


def test_a_cancelled_run_is_found_as_such(app, bench):
    key = bench.new_key()
    flow = Workflow("cancelled", app)
    named(app, flow, "after", flow.add(task(app, "until_open").s(key), name="held"))
    run = flow.apply_async()
    bench.ledger(key, 1)
    run.cancel()
    assert listed(app, "cancelled") == ["CANCELLING"]
    bench.open(key)
    eventually(lambda: listed(app, "cancelled") == ["CANCELLED"])
    assert [one.id for one in app.runs(name="cancelled", state="CANCELLED")] == [run.id]


def test_a_resumed_run_is_found_in_its_new_state(app, bench):
    flow = Workflow("resumed", app)
    gate = bench.new_key()
    flow.add(task(app, "gated").s(1, key=gate), name="gated")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    assert listed(app, "resumed") == ["FAILURE"]
    bench.open(gate)
    assert run.resume()
    run.get(timeout=20)
    assert listed(app, "resumed") == ["SUCCESS"]


def test_runs_of_celery_workers_are_found_by_the_states_of_their_nodes(app, bench):
    key = bench.new_key()
    flow = Workflow("of celery", app)
    flow.add(task(app, "ident").s(flow.add(task(app, "until_open").s(key), name="held")), name="after")
    run = flow.apply_async(target="celery")
    assert app.runs.count(name="of celery", state="SUCCESS") == 0
    assert app.runs.count(name="of celery", state=["PENDING", "STARTED"]) == 1
    assert [one.id for one in app.runs(name="of celery")] == [run.id]
    bench.open(key)
    run.get(timeout=20)
    assert [one.id for one in app.runs(name="of celery", state="SUCCESS")] == [run.id]
    assert listed(app, "of celery") == ["SUCCESS"]


def test_a_state_that_is_listed_wrongly_is_corrected(app):
    flow = Workflow("outdated", app)
    named(app, flow, "only")
    runs = [flow.apply_async() for _ in range(3)]
    for run in runs:
        run.get(timeout=20)
    # As a worker leaves it that does not know the index.
    app.run_store.list_as(runs[1].id, "STARTED", "SUCCESS")
    assert app.runs(name="outdated", state="STARTED") == []
    assert listed(app, "outdated") == ["SUCCESS"] * 3


def test_the_command_lists_what_it_is_asked_for(app, bench):
    flow = Workflow("command", app)
    named(app, flow, "only")
    runs = [flow.apply_async(labels={"customer": at, "note": "a=b"}) for at in range(2)]
    for run in runs:
        run.get(timeout=20)
    found = canvas(bench, "workflow", "list", "--name", "command", "--label", "customer=1", "--since", "1h", "--json")
    (line,) = [json.loads(line) for line in found.stdout.splitlines()]
    assert line["id"] == runs[1].id
    assert line["labels"] == {"customer": 1, "note": "a=b"}
    shown = canvas(bench, "workflow", "list", "--state", "success", "--label", "note=a=b", "-n", "1").stdout
    assert shown.split()[0] == runs[1].id
    assert "command customer=1 note=a=b" in shown
    assert "customer=1 note=a=b" in canvas(bench, "workflow", "show", runs[1].id).stdout
    for wrong, text in (
        (["--label", "customer"], "expected LABEL=VALUE"), (["--state", "over"], "expected one of PENDING"),
        (["--since", "soon"], "expected ISO 8601"),
    ):  # fmt: skip
        refused = canvas(bench, "workflow", "list", *wrong, check=False)
        assert refused.returncode != 0
        assert text in refused.stderr


def test_the_index_expires_with_its_runs(app, bench):
    server = bench.results
    with make("canvas", *bench.urls()[:2], workflow_run_expires=1, result_expires=1) as short:
        before = {key for key in server.keys() if b"canvas:runs" in key}
        assert all(server.ttl(key) > 0 for key in before)
        flow = Workflow("short", short)
        named(short, flow, "only")
        run = flow.apply_async(labels={"expires": "soon"}, run_key="once")
        run.get(timeout=20)
        short.run_store.expire(run.id, [], (run.id, run.attempt))
        eventually(lambda: short.runs.of_key("short", "once") is None)
        assert short.runs(name="short") == []
        assert not [key for key in server.keys() if b"expires=soon" in key or b"name:short" in key]
        assert server.hget("canvas:runs:listed", run.id) is None
        again = flow.apply_async(run_key="once")
        assert again.id != run.id
        again.get(timeout=20)


def test_many_callers_at_once_start_one_run(app, bench):
    key = bench.new_key()

    def begin(_):
        flow = Workflow("once", app)
        flow.add(task(app, "slow_step").s(0, key, 1), name="counted")
        return flow.apply_async(run_key=key)

    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(begin, range(16)))
    assert len({run.id for run in runs}) == 1
    for run in runs:
        run.get(timeout=20)
    assert len(bench.ledger(key, 1)) == 1
    assert begin(0).id == runs[0].id
    assert states(begin(0)) == {"counted": "SUCCESS"}


def killed_flow(app, key):
    flow = Workflow("killed", app)
    named(app, flow, "after", flow.add(task(app, "slow_step").s(0, key, 1), name="counted"))
    return flow


INSTANTS = [
    ("runs", "save_run", "before"),
    ("runs", "save_run", "after"),
    ("settler", "dispatch_chord", "before"),
    ("settler", "dispatch_chord", "after"),
]


@pytest.mark.parametrize("instant", INSTANTS, ids=lambda one: f"{one[2]} {one[1]}")
def test_a_caller_that_is_killed_leaves_one_run(app, bench, instant):
    key = bench.new_key()
    assert killed_at(bench, instant, lambda app: killed_flow(app, key).apply_async(run_key=key)) == -signal.SIGKILL
    if instant != INSTANTS[0]:
        # A worker starts the run whose caller has died.
        eventually(lambda: app.runs(name="killed", state="SUCCESS") and app.runs.of_key("killed", key))
    run = killed_flow(app, key).apply_async(run_key=key)
    run.get(timeout=30)
    assert app.runs.of_key("killed", key).id == run.id
    assert len(bench.ledger(key, 1)) == 1
