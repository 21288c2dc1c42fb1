"""Labels and keys of runs, carried out here: what is refused, how values are compared, what is shown."""

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from canvas import Canvas, Workflow
from canvas.errors import CompositionError, NoResultBackend, RunKeyMismatch
from canvas.workflows.compose.builder import _START_OPTIONS
from canvas.workflows.labels import label_text
from canvas.workflows.start import StartOptions

LABELS = {
    "customer": "42",
    "amount": 12.5,
    "urgent": True,
    "day": date(2026, 11, 28),
    "due": datetime(2026, 11, 28, 12, tzinfo=UTC),
}


@pytest.fixture(params=["json", "msgpack", "pickle"])
def app(request):
    settings = {"task_serializer": request.param, "accept_content": ["json", "msgpack", "pickle"]}
    app = Canvas("labels", broker="memory://labels", backend="memory://labels", set_as_current=False, **settings)
    app.task(name="ident", shared=False)(lambda x: x)
    app.conf.update(task_always_eager=True, task_store_eager_result=True)
    yield app
    app.close()


def flow_of(app, value=1, name="etl"):
    flow = Workflow(name, app)
    flow.add(app.tasks["ident"].s(value))
    return flow


def test_labels_are_kept_with_their_types(app):
    run = flow_of(app).apply(labels=LABELS)
    found = app.workflow(run.id)
    assert found.labels == run.labels == LABELS
    status = found.status()
    assert status.labels == LABELS
    assert "customer=42 amount=12.5 urgent=true day=2026-11-28" in str(status)
    shown = json.loads(json.dumps(status.as_dict()))["labels"]
    assert shown == {**LABELS, "day": "2026-11-28", "due": "2026-11-28T12:00:00+00:00"}
    assert found.retry().labels == LABELS


def test_a_run_without_labels_shows_none(app):
    status = flow_of(app).apply().status()
    assert status.labels == status.as_dict()["labels"] == {}
    assert len(str(status).splitlines()) == 2


def test_runs_are_found_by_the_text_of_labels(app):
    runs = [flow_of(app).apply(labels={**LABELS, "customer": str(at)}) for at in range(3)]
    for label in (
        {"customer": "1"}, {"customer": 1}, {"customer": 1.0, "amount": "12.5"},
        {"customer": 1, "urgent": "true", "day": "2026-11-28"},
        {"customer": 1, "due": datetime(2026, 11, 28, 13, tzinfo=timezone(timedelta(hours=1)))},
    ):  # fmt: skip
        assert [run.id for run in app.runs(label=label)] == [runs[1].id], label
    assert app.runs(label={"customer": "1", "urgent": False}) == []
    assert app.runs.count(label={"urgent": True}) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(42, "42"), (42.0, "42"), ("42", "42"), (True, "true"), (0.1, "0.1"), (1e300, "1e+300"), (-3.0, "-3")],
)
def test_texts_of_values(value, text):
    assert label_text(value) == text


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        ({"a b": 1}, "expected a name of 1 to 64 letters"),
        ({"a=b": 1}, "expected a name of 1 to 64 letters"),
        ({"": 1}, "expected a name of 1 to 64 letters"),
        ({"x" * 65: 1}, "expected a name of 1 to 64 letters"),
        ({1: 1}, "expected a name of 1 to 64 letters"),
        ({"a": None}, "label 'a': expected text, a finite number"),
        ({"a": float("nan")}, "label 'a': expected text, a finite number"),
        ({"a": [1]}, "label 'a': expected text, a finite number"),
        ({"a": "x" * 257}, "label 'a': expected at most 256 characters; got 257"),
        ({"a": 10**300}, "label 'a': expected at most 256 characters; got 301"),
        ({f"a{at}": at for at in range(17)}, "expected at most 16; got 17"),
        ("a=b", "expected a mapping of names to values"),
    ],
)
def test_labels_that_no_run_can_have(app, labels, error):
    with pytest.raises(CompositionError, match=error):
        flow_of(app).apply_async(labels=labels)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"state": "DONE"}, "^app.runs: state: expected one of PENDING, STARTED, CANCELLING"),
        ({"state": "failure"}, "did you mean FAILURE"),
        ({"label": "a=b"}, "^app.runs: label: expected a mapping"),
        ({"label": {"a b": 1}}, "expected a name of 1 to 64 letters"),
        ({"label": {"a": None}}, "label 'a': expected text"),
        ({"limit": 0}, "^app.runs: limit: expected a whole number above 0; got 0"),
        (
            {"since": "yesterday"},
            "^app.runs: since: expected a datetime, a timedelta or seconds before now; got 'yesterday'",
        ),
        ({"name": 3}, "^app.runs: name: expected the name of a workflow"),
    ],
)
def test_queries_that_ask_for_nothing(app, query, error):
    with pytest.raises(CompositionError, match=error):
        app.runs(**query)


def test_times_of_creation(app):
    run = flow_of(app).apply()
    hour, moment = timedelta(hours=1), datetime.now(UTC)
    assert [one.id for one in app.runs(since=hour)] == [run.id]
    assert [one.id for one in app.runs(since=3600, until=moment + hour)] == [run.id]
    assert [one.id for one in app.runs(since=(moment - hour).replace(tzinfo=None))] == [run.id]
    assert app.runs(until=hour) == app.runs(since=moment + hour) == []


def test_runs_are_found_by_their_states(app):
    app.task(name="fail", shared=False)(lambda: 1 / 0)
    good, bad = flow_of(app).apply(), Workflow("etl", app)
    bad.add(app.tasks["fail"].s())
    failed = bad.apply()
    assert [run.id for run in app.runs(state="SUCCESS")] == [good.id]
    assert [run.id for run in app.runs(state=["FAILURE", "STARTED"])] == [failed.id]
    assert (app.runs.count(), app.runs.count(state="FAILURE"), app.runs.count(name="other")) == (2, 1, 0)


async def test_the_same_on_an_event_loop(app):
    run = await flow_of(app).aapply_async(labels={"a": 1})
    assert [one.id for one in await app.runs.afind(label={"a": 1})] == [run.id]
    assert await app.runs.acount(label={"a": 1}) == 1


def test_a_key_gives_one_run(app):
    first = flow_of(app).apply(run_key="monday")
    again = flow_of(app).apply(run_key="monday")
    assert again.id == first.id
    assert again.key == "monday"
    assert app.runs.of_key("etl", "monday").id == first.id
    assert app.runs.of_key("etl", "tuesday") is None
    assert flow_of(app).apply(run_key="tuesday").id != first.id
    assert flow_of(app, name="report").apply(run_key="monday").id != first.id
    assert first.retry().key is None


def test_other_arguments_under_a_key_are_noticed(app):
    first = flow_of(app, {"a": 1, "b": 2}).apply(run_key="monday", expires=60)
    assert flow_of(app, {"b": 2, "a": 1}).apply(run_key="monday", expires=90).id == first.id
    with pytest.warns(
        UserWarning, match=rf"workflow 'etl': run {first.id} was started with run_key 'monday' and another"
    ):
        assert flow_of(app, {"a": 2}).apply(run_key="monday").id == first.id
    with pytest.raises(
        RunKeyMismatch, match=r"was started with run_key 'monday' and another graph or other arguments(\n|$)"
    ):
        flow_of(app, {"a": 2}).apply(run_key="monday", run_key_mismatch="error")


@pytest.mark.parametrize("key", ["", "x" * 257, 3, b"monday", date(2026, 11, 28)])
def test_values_that_are_no_keys(app, key):
    with pytest.raises(CompositionError, match="run_key: expected text of 1 to 256 characters"):
        flow_of(app).apply(run_key=key)


def test_a_key_needs_canvas_workers(app):
    with pytest.raises(CompositionError, match=r"run_key: Celery workers .* keep no record"):
        flow_of(app).apply_async(run_key="monday", target="celery")
    with pytest.raises(CompositionError, match="run_key_mismatch: expected one of warn, error; got 'ignore'"):
        flow_of(app).apply_async(run_key="monday", run_key_mismatch="ignore")


def test_without_a_result_backend_no_run_is_found():
    with (
        Canvas("alone", broker="memory://", set_as_current=False) as alone,
        pytest.raises(NoResultBackend, match="a workflow needs a result backend"),
    ):
        alone.runs()


def test_the_options_of_a_run_are_those_that_the_builder_knows():
    assert tuple(StartOptions.__dataclass_fields__) == _START_OPTIONS


@pytest.mark.parametrize("ends", ["fails", "is cancelled", "runs again"])
def test_a_key_gives_its_run_however_that_has_ended(app, ends):
    key = {"run_key": "monday"}
    if ends == "is cancelled":
        flow = Workflow("waits", app)
        flow.sleep(60)
        flow.add(app.tasks["ident"].s(1), after=flow["sleep"])
        run = flow.apply(timeout=5, **key)
    else:
        flow = Workflow("values", app)
        first = flow.add(app.tasks["ident"].s({"one": 1}), name="first")
        flow.add(app.tasks["ident"].s(first["two" if ends == "fails" else "one"]))
        run = flow.apply(**key)
    if ends == "runs again":
        assert run.again("first")
    state = {"fails": "FAILURE", "is cancelled": "CANCELLED", "runs again": "SUCCESS"}[ends]
    found = flow.apply(**key)
    assert (found.id, found.query(), run.query()) == (run.id, state, state)
    assert app.runs.of_key(flow.name, "monday").id == run.id
