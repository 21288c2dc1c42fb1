"""The names that other workflow engines have for methods and arguments, and how canvas calls each.

A call with such a name is an error that says what to write. ``ROWS`` are the table; the documentation has it too.
"""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class OtherName(NamedTuple):
    """A name that canvas does not have."""

    place: str
    """Where it was looked for: a class, a method's name, or ``start`` for the options of a run."""
    name: str
    instead: str
    """The name in canvas: a method, or an argument of the same place; ``Task.…`` is an option of tasks."""
    example: str


ROWS = (
    OtherName("Workflow", "expand", "map", "flow.map(task.s(), over=items)"),
    OtherName("Workflow", "sensor", "wait_for", "flow.wait_for('file', timeout=3600), ended by run.signal('file')"),
    OtherName("Workflow", "poll", "loop", "flow.loop(check.s(), None, until=is_done.s(), at_most=60)"),
    OtherName("Workflow", "switch", "branch", "flow.branch(kind, {'a': one.s()}, otherwise=two.s())"),
    OtherName("Workflow", "race", "first", "flow.first(a, b, cancel_rest=True)"),
    OtherName("Workflow", "parallel", "add", "a, b = flow.add(one.s()), flow.add(two.s()); they run side by side"),
    OtherName("Workflow", "subflow", "add", "flow.add(other_flow, inputs={'day': day})"),
    OtherName("Workflow", "step", "add", "flow.add(task.s(before))"),
    OtherName("Workflow", "run", "apply_async", "run = flow.apply_async()"),
    OtherName("Workflow", "start", "apply_async", "run = flow.apply_async()"),
    OtherName("Workflow", "submit", "apply_async", "run = flow.apply_async()"),
    OtherName("Workflow", "execute", "apply_async", "run = flow.apply_async()"),
    OtherName("Run", "wait", "get", "run.get(timeout=60)"),
    OtherName("Run", "join", "get", "run.get(timeout=60)"),
    OtherName("Run", "stop", "cancel", "run.cancel()"),
    OtherName("Run", "terminate", "cancel", "run.cancel(terminate=True)"),
    OtherName("Run", "kill", "cancel", "run.cancel(terminate=True)"),
    OtherName("Run", "rerun", "again", "run.again(from_node='load'); run.retry() starts a new run"),
    OtherName("Run", "restart", "retry", "run.retry(); run.resume() runs what has failed"),
    OtherName("Run", "describe", "status", "print(run.status())"),
    OtherName("add", "trigger_rule", "when", "flow.add(task.s(), after=[a, b], when='all_done')"),
    OtherName("add", "depends_on", "after", "flow.add(task.s(), after=[a, b])"),
    OtherName("add", "upstream", "after", "flow.add(task.s(), after=[a, b])"),
    OtherName("add", "wait_for", "after", "flow.add(task.s(), after=[a, b])"),
    OtherName("add", "retries", "Task.max_retries", "@app.task(autoretry_for=(OSError,), max_retries=3)"),
    OtherName("add", "retry_delay", "Task.default_retry_delay", "@app.task(default_retry_delay=30)"),
    OtherName("add", "timeout", "Workflow.timeout", "flow.timeout(node, 60, otherwise=None)"),
    OtherName("add", "undo", "compensate", "flow.add(book.s(), compensate=cancel_booking.s())"),
    OtherName("add", "rollback", "compensate", "flow.add(book.s(), compensate=cancel_booking.s())"),
    OtherName("add", "task_id", "name", "flow.add(task.s(), name='load')"),
    OtherName("add", "params", "inputs", "flow.add(other_flow, inputs={'day': day})"),
    OtherName("add", "queue", "Signature.set", "flow.add(task.s().set(queue='gpu'))"),
    OtherName("map", "items", "over", "flow.map(task.s(), over=items)"),
    OtherName("map", "max_active", "concurrency", "flow.map(task.s(), over=items, concurrency=10)"),
    OtherName("map", "max_workers", "concurrency", "flow.map(task.s(), over=items, concurrency=10)"),
    OtherName("map", "parallelism", "concurrency", "flow.map(task.s(), over=items, concurrency=10)"),
    OtherName("map", "batch_size", "batch", "flow.map(task.s(), over=items, batch=100)"),
    OtherName("map", "chunk_size", "batch", "flow.map(task.s(), over=items, batch=100)"),
    OtherName("loop", "every", "Workflow.sleep", "let the step be a workflow with a node step.sleep(60)"),
    OtherName("loop", "max_rounds", "at_most", "flow.loop(step.s(), 0, at_most=10)"),
    OtherName("loop", "max_iterations", "at_most", "flow.loop(step.s(), 0, at_most=10)"),
    OtherName("loop", "condition", "until", "flow.loop(step.s(), 0, until=is_done.s(), at_most=10)"),
    OtherName("branch", "default", "otherwise", "flow.branch(kind, {'a': one.s()}, otherwise=two.s())"),
    OtherName("branch", "condition", "on", "flow.branch(on=kind, arms={'a': one.s()})"),
    OtherName("branch", "cases", "arms", "flow.branch(on=kind, arms={'a': one.s()})"),
    OtherName("first", "cancel_others", "cancel_rest", "flow.first(a, b, cancel_rest=True)"),
    OtherName("timeout", "default", "otherwise", "flow.timeout(node, 60, otherwise=0)"),
    OtherName("resume", "from_node", "Run.again", "run.again(from_node='load')"),
    OtherName("signal", "value", "payload", "run.signal('approved', payload={'by': 'eve'})"),
    OtherName("runs", "status", "state", "app.runs(state='FAILURE')"),
    OtherName("runs", "labels", "label", "app.runs(label={'customer': 42})"),
    OtherName("runs", "tags", "label", "app.runs(label={'customer': 42})"),
    OtherName("start", "tags", "labels", "flow.apply_async(labels={'customer': 42})"),
    OtherName("start", "params", "inputs", "flow.apply_async(inputs={'day': 'monday'})"),
    OtherName("start", "parameters", "inputs", "flow.apply_async(inputs={'day': 'monday'})"),
    OtherName("start", "idempotency_key", "run_key", "flow.apply_async(run_key='2026-12-01')"),
    OtherName("start", "workflow_id", "run_key", "flow.apply_async(run_key='2026-12-01')"),
)
_BY_PLACE = {(row.place, row.name): row for row in ROWS}


def hint(place: str, name: str) -> str | None:
    """The name in canvas and an example in place of ``name``, for an error; ``None`` for a name that no engine has."""
    row = _BY_PLACE.get((place, name))
    return None if row is None else f"canvas has {row.instead}: {row.example}"


class OtherMethods:
    """A class whose missing methods, where other engines have them, are errors that name those of canvas."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):
                return object.__getattribute__(self, name)  # a property has raised AttributeError, and raises it again
            found = (hint(kind.__name__, name) for kind in type(self).__mro__)
            instead = next((f": {one}" for one in found if one is not None), "")
            text = f"{type(self).__name__!r} object has no attribute {name!r}{instead}"
            raise AttributeError(text, name=name, obj=self)


def refuse_other_names(*places: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function refuse the arguments that other engines have for it, by the rows of these ``places``.

    The function then raises TypeError.
    """
    names = {row.name: place for place in reversed(places) for row in ROWS if row.place == place}

    def refusing(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name in names:
                    raise TypeError(f"{function.__qualname__}() has no argument {name!r}: {hint(names[name], name)}")
            return function(*args, **kwargs)

        return checked

    return refusing
