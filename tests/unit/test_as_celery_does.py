"""Behaviour that Celery's own test suites ask for."""

import pickle
import time
from collections.abc import Iterator
from typing import Any

import celery
import celery.exceptions
import pytest
from celery.app.task import Context

import canvas.exceptions
from canvas import Canvas, Signature, Task, chain, chord, group, maybe_signature, signature, states
from canvas.celery_names.utils.dispatch import Signal
from canvas.celery_names.utils.imports import symbol_by_name
from canvas.celery_names.utils.objects import cached_property
from canvas.errors import ConfigurationError, SignatureError, TaskRevokedError
from canvas.model.outcome import Failure
from canvas.model.request import Request
from canvas.wire.exceptions import decode_exception, encode_exception
from canvas.wire.pickling import loads


@pytest.fixture
def app() -> Iterator[Canvas]:
    with Canvas("conformance", broker="memory://", backend="memory://", set_as_current=False) as made:
        yield made


@pytest.fixture
def add(app: Canvas) -> Any:
    @app.task(name="unit.add", shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    return add


class kept(chain):
    """A subclass of a user's."""


def test_a_chain_that_is_not_folded_is_a_chain(app: Canvas, add: Any) -> None:
    assert isinstance(chain(app=app), chain)
    assert isinstance(chain(add.s(1, 2), add.s(3), app=app), chain)
    assert [step.args for step in chain((add.s(n) for n in range(3)), app=app).tasks] == [(0,), (1,), (2,)]


def test_a_subclass_of_chain_stays_one(app: Canvas, add: Any) -> None:
    made = kept(add.s(1, 2), add.s(3))
    assert type(made) is kept and type(made.clone()) is kept
    assert type(kept.from_dict(dict(made))) is kept
    assert made.apply().get() == 6


def test_a_subclass_of_chain_follows_the_rules_of_chains(add: Any) -> None:
    assert isinstance(kept(group(add.s(1, 2), add.s(3, 4)), add.s(5)), chord)


def test_a_repr_shortens_only_the_module_it_has_named(app: Canvas) -> None:
    named = [signature(name, (1,), app=app) for name in ("app.tasks.a", "webapp.tasks.b", "my-app.tasks.c")]
    assert repr(group(named)) == "group([app.tasks.a(1), webapp.tasks.b(1), my-app.tasks.c(1)])"
    named = [signature(name, (1,), app=app) for name in ("app.tasks.a", "app.tasks.b")]
    assert repr(chain(named)) == "app.tasks.a(1) | b(1)"


def test_states_compare_by_their_precedence() -> None:
    assert states.state(states.PENDING) < states.state("PROGRESS") < states.state(states.FAILURE)
    assert states.state(states.SUCCESS) >= states.SUCCESS
    assert states.state(states.STARTED) <= states.state(states.REVOKED)
    assert not states.state("A") > states.state("B")


def test_states_are_stored_by_their_names(app: Canvas) -> None:
    backend = app.backend
    backend.mark_as_started("one", pid=7)
    assert app.AsyncResult("one").info == {"pid": 7}
    backend.mark_as_done("one", 3)
    backend.mark_as_failure("two", KeyError("k"), traceback="here")
    backend.mark_as_retry("three", ValueError("again"))
    backend.mark_as_revoked("four", "stopped")
    found = [app.AsyncResult(one) for one in ("one", "two", "three", "four")]
    assert [result.state for result in found] == ["SUCCESS", "FAILURE", "RETRY", "REVOKED"]
    assert found[0].get() == 3 and found[1].traceback == "here"
    with pytest.raises(TaskRevokedError, match="stopped"):
        found[3].get()


def test_a_signature_has_its_results_class(app: Canvas, add: Any) -> None:
    assert add.s(1).AsyncResult("id").task_name == add.name
    assert signature("elsewhere", app=app).AsyncResult is app.AsyncResult


def test_a_request_has_the_limits_that_it_is_given(app: Canvas) -> None:
    request = Request(timelimit=[30, 20])
    assert (request.time_limit, request.soft_time_limit) == (30, 20)
    request.update(timelimit=(40, 10))
    assert (request.time_limit, request.soft_time_limit) == (40, 10)
    request.update(timelimit=None)
    assert (request.time_limit, request.soft_time_limit) == (None, None)


def test_a_task_that_apply_runs_has_the_apps_limits(app: Canvas) -> None:
    app.conf.update(task_time_limit=30, task_soft_time_limit=20)

    @app.task(bind=True, shared=False)
    def limits(self: Any) -> list[float]:
        return [self.request.time_limit, self.request.soft_time_limit]

    assert limits.apply().get() == [30, 20]


def test_a_request_of_fields_shows_them() -> None:
    request = Request({"id": "one", "task": "t.add"}, retries=3)
    request.children.append("a result")
    assert repr(request) == f"<Context: {dict(id='one', task='t.add', retries=3)!r}>"


@pytest.mark.parametrize("name", ["SoftTimeLimitExceeded", "TimeLimitExceeded"])
@pytest.mark.parametrize("args", [(), (3,), ("a", 2)])
def test_errors_of_time_limits_have_the_text_of_celerys(name: str, args: tuple[Any, ...]) -> None:
    ours, theirs = (getattr(module, name)(*args) for module in (canvas.exceptions, celery.exceptions))
    assert (str(ours), repr(ours)) == (str(theirs), repr(theirs))


@pytest.mark.parametrize("name", ["BackendStoreError", "BackendGetMetaError"])
def test_errors_of_result_backends_name_the_task(name: str) -> None:
    error = pickle.loads(pickle.dumps(getattr(canvas.exceptions, name)("lost", task_id="one")))
    assert (error.args, error.task_id) == (("lost",), "one")


def test_a_cleared_request_is_empty() -> None:
    request = Request(id="one", retries=3, wibble="wobble")
    request.clear()
    assert (request.id, request.retries, request.children, request.get("wibble")) == (None, 0, [], None)


def test_a_retry_has_the_priority_and_the_headers_of_its_call(add: Any) -> None:
    headers = {"custom": 1, "x-death": [{"count": 1}], "x-first-death-queue": "q", "x-last-death-reason": "expired"}
    add.push_request(delivery_info={"priority": 7}, headers=headers, stamped_headers=["team"], stamps={"team": "x"})
    try:
        options = add.signature_from_request().options
    finally:
        add.pop_request()
    assert options["priority"] == 7 and options["headers"] == {"custom": 1} and options["team"] == "x"


@pytest.mark.parametrize("names", [None, [], ["team"]])
def test_the_options_of_a_request_are_celerys(names: Any) -> None:
    fields = {
        "id": "one", "root_id": "root", "group": "g", "group_index": 3, "callbacks": [], "timelimit": [20, 10],
        "retries": 2, "headers": {"custom": 1, "x-death": []}, "stamped_headers": names, "stamps": {"team": "x"},
        "delivery_info": {"exchange": "", "routing_key": "q", "priority": 7},
    }  # fmt: skip
    theirs = Context(**fields).as_execution_options()
    assert Request(**fields).as_execution_options() == theirs
    assert Request(id="one").as_execution_options() == Context(id="one").as_execution_options()


def test_an_exception_info_can_be_pickled() -> None:
    einfo = Failure(KeyError("no"), "the traceback\n").einfo
    found = pickle.loads(pickle.dumps(einfo))
    assert (str(found), found.type, repr(found.exception.exc)) == ("the traceback\n", KeyError, "KeyError('no')")
    exc = pickle.loads(pickle.dumps(einfo.exception))
    assert isinstance(exc, KeyError) and "the traceback" in str(exc.__cause__)


def test_the_traceback_of_an_automatic_retry_begins_with_its_cause(app: Canvas) -> None:
    seen = []

    class Noting(Task[..., Any]):
        def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            seen.append(einfo.traceback)

    @app.task(base=Noting, autoretry_for=(ValueError,), default_retry_delay=0, max_retries=1, shared=False)
    def flaky() -> None:
        raise ValueError("boom")

    assert flaky.apply().state == "FAILURE"
    (text,) = seen
    assert text.index("in flaky") < text.index("ValueError: boom") < text.index("During handling") < text.index("Retry")


def test_a_signature_from_a_request_has_its_count_of_retries(add: Any) -> None:
    request = Request(id="one", args=(1, 1), kwargs={}, retries=2, task="add")
    assert add.signature_from_request(request).options["retries"] == 2
    assert add.signature_from_request(request, retries=5).options["retries"] == 5


@pytest.mark.parametrize("ends_in", ["group", "chord"])
def test_each_member_that_ends_an_eager_chain_has_its_callbacks(app: Canvas, add: Any, ends_in: str) -> None:
    app.conf.task_always_eager = True
    called: list[Any] = []

    @app.task(shared=False)
    def xsum(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(shared=False)
    def record(value: int, tag: str) -> None:
        called.append((tag, value))

    members = group(add.s(10), add.s(20))
    workflow = add.s(1, 1) | (members if ends_in == "group" else chord(members, group(xsum.s(), xsum.s())))
    expected = [12, 22] if ends_in == "group" else [34, 34]
    workflow.apply_async(link=record.s(tag="a"))
    assert called == [("a", value) for value in expected]
    called.clear()
    workflow.apply_async()
    assert called == []


def test_members_that_come_slowly_are_sent_before_the_last_is_read(app: Canvas, add: Any) -> None:
    driver = app.driver
    waiting: list[int] = []

    def slow() -> Iterator[Any]:
        for number in range(4):
            # The time that the reader waits for a member is what is tested.
            time.sleep(0.25)
            waiting.append(driver.admin.queue_length("celery"))
            yield add.s(number, 1)

    group(slow()).apply_async()
    assert waiting[-1] >= 1
    assert driver.admin.queue_length("celery") == 4
    waiting.clear()
    header = chord(slow(), signature("unit.body", app=app))
    header.apply_async()
    assert waiting[-1] > 4
    assert driver.admin.queue_length("celery") == 8


def test_a_report_of_the_app_masks_its_passwords() -> None:
    url = "sentinel://:secret1@h1:26379;sentinel://:secret2@h2:26379/0"
    report = Canvas("reported", broker="redis://u:p,a@ss@localhost/0", backend=url, set_as_current=False).bugreport()
    theirs = celery.Celery("reported", broker="redis://", set_as_current=False).bugreport()
    ours, parts = ([line[:8] for line in text.splitlines() if line[8:12] == " -> "] for text in (report, theirs))
    assert ours == parts == ["software", "platform", "loader  ", "settings"]
    assert "settings -> transport:redis results:sentinel://" in report
    assert "sentinel://:**@h1:26379;sentinel://:**@h2:26379/0" in report
    assert "redis://u:**@localhost/0" in report
    assert "secret" not in report and "p,a@ss" not in report


@pytest.mark.parametrize(
    ("ours", "theirs"), [(ConfigurationError, "ImproperlyConfigured"), (SignatureError, "SecurityError")]
)
def test_errors_are_stored_under_celerys_names(ours: type[Exception], theirs: str) -> None:
    stored = encode_exception(ours("why"))
    assert (stored["exc_module"], stored["exc_type"]) == ("celery.exceptions", theirs)
    read = decode_exception(stored)
    assert type(read) is ours and read.args == ("why",)
    pickled = pickle.dumps(getattr(celery.exceptions, theirs)("why"))
    assert type(loads(pickled)) is ours


def test_on_bound_without_classmethod_gets_the_app_alone():
    bound = []

    class Told(Task):
        def on_bound(app):
            bound.append(app)

    app = Canvas("bound", broker="memory://", set_as_current=False)
    app.task(base=Told, name="told")(lambda: None)
    assert (app.tasks["told"].name, bound) == ("told", [app])


def test_small_parts_of_kombu_and_celery():
    class Kept:
        @cached_property
        def value(self):
            return 1

        @value.setter
        def value(self, new):
            return new * 10

    kept = Kept()
    assert (kept.value, setattr(kept, "value", 2), kept.value) == (1, None, 20)
    del kept.value
    assert kept.value == 1
    told = []
    own = Signal(providing_args={"what"}, name="own")
    own.connect(lambda **given: told.append(given["what"]), weak=False)
    own.send(sender=None, what=3)
    assert told == [3]
    assert symbol_by_name("no.such:thing", default=4) == 4
    sig = Signature("t", args=(1,))
    assert maybe_signature(sig) is sig and maybe_signature(sig, clone=True) is not sig
