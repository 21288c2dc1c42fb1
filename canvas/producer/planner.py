"""From a signature to its plan: the calls to send now, the chords that they start, the results to come."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from canvas.drivers.ports import Driver
from canvas.errors import InvalidTaskError
from canvas.model.compiled import Plan, ResultRef, TaskCall
from canvas.model.ids import Lineage
from canvas.model.message import Message
from canvas.primitives.fields import KINDS
from canvas.primitives.lazy_list import LazyList
from canvas.primitives.misuse import advice, warn_of_call_options
from canvas.primitives.ports import SignatureApp
from canvas.primitives.registry import as_built_in, maybe_signature, signature_from_dict
from canvas.primitives.signature import Signature
from canvas.producer.message_builder import MessageBuilder, OwnMessages
from canvas.producer.option_checks import CONNECTIONS, TEXT_OPTIONS, check_limits, check_options
from canvas.producer.routing import Router
from canvas.result import AsyncResult, GroupResult
from canvas.result.backend import Backend
from canvas.task.task import APPLY_ASYNC, Task

if TYPE_CHECKING:
    from canvas.graph.stream import Slices

_GROUPS = ("group", "chord")
_COMPOSITES = frozenset({"chain", "group", "chord"})
_TEXT = frozenset({str, type(None)})
_REST = frozenset({"chain"})


class Announcer(Protocol):
    """Announces that messages were sent."""

    def announce(self, messages: Sequence[Message]) -> None: ...


class ClientApp(SignatureApp, Protocol):
    """The parts of an app that send messages and read results. Some are made again when settings change."""

    @property
    def tasks(self) -> Mapping[str, Task[Any]]: ...

    @property
    def driver(self) -> Driver: ...

    @property
    def backend(self) -> Backend: ...

    @property
    def sent_events(self) -> Announcer: ...

    @property
    def AsyncResult(self) -> type[AsyncResult]: ...

    def now(self) -> datetime: ...


class SenderApp(ClientApp, Protocol):
    """The parts of an app that sending needs."""

    own_messages: OwnMessages | None

    @property
    def router(self) -> Router: ...

    @property
    def client(self) -> MessageBuilder: ...

    @property
    def sends_itself(self) -> bool: ...

    @property
    def current_worker_task(self) -> Task[Any] | None: ...

    @property
    def GroupResult(self) -> type[GroupResult]: ...

    def lineage(self) -> Lineage: ...

    def exec_options(self, name: str) -> Mapping[str, Any]: ...

    def send_task(
        self, name: str, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any: ...


class Planner:
    """Compiles the signatures of one app, and checks the messages that they would send."""

    def __init__(self, app: SenderApp) -> None:
        self._app = app

    @cached_property
    def _tasks(self) -> Mapping[str, Task[Any]]:
        """The app's tasks; the app is finalized when they are first asked for."""
        return self._app.tasks

    def plan(
        self,
        sig: Signature[Any],
        args: Iterable[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
        typed: bool = True,
        received: bool = False,
    ) -> Plan:
        """The compiled run of ``sig``; ``typed``: arguments are checked against the tasks that are registered here.

        The options of members and callbacks are checked too, unless ``sig`` was ``received`` in a message.

        Raises CompositionError, TypeError for arguments that don't fit, ConfigurationError for a queue that may not
        be made, NoResultBackend for a chord without a result backend.
        """
        if KINDS:
            sig = as_built_in(sig)
        name = sig["task"]
        if not isinstance(name, str):
            raise InvalidTaskError(f"expected the name of a task; got {name!r:.100}{advice(name)}")
        app = self._app
        if options or sig["options"]:
            together = {**sig["options"], **options}
            check_options(sig["task"], together)
            warn_of_call_options(sig["task"], together)
        # As ``is_composite``: a call would be made for every task.
        composite = sig.get("subtask_type") in _COMPOSITES or type(sig).__name__ == "chunks"
        if composite:
            # Imported late: programs that send single tasks only do without the compiler.
            from canvas.graph.compile import compile

            sent = _without_connections(options) if options else {}
            plan = compile(
                sig, args, kwargs, sent, new_id=app.new_id, reply_to=app.oid,
                errback_on_header=bool(app.conf.task_allow_error_cb_on_chord_header),
                check=None if received else check_options,
            )  # fmt: skip
        else:
            if sig.route_name is not None:
                options = {"route_name": sig.route_name, **options}
            plan = plan_task(sig, args, kwargs, options, app.new_id)
        self._check(plan, typed, received or composite)
        return plan

    @staticmethod
    def is_composite(sig: Signature[Any]) -> bool:
        """Whether a signature is sent as the calls of others."""
        return sig.get("subtask_type") in _COMPOSITES or type(sig).__name__ == "chunks"

    def plan_wire(self, sig: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Plan:
        """``plan`` of a signature, which may be in wire form."""
        if type(sig) is not dict:
            return self.plan(maybe_signature(sig, self._app), args, {}, options, received=True)
        call = _call_of_wire(sig, args, options, self._app.new_id)
        if call is None:
            return self.plan(signature_from_dict(sig, self._app), args, {}, options, received=True)
        result = ResultRef(call.options["task_id"], None, None, call.task)
        plan = Plan([call], [], result, result)
        self._check(plan, before_own=True)
        return plan

    def _check(self, plan: Plan, typed: bool = True, before_own: bool = False) -> None:
        """``before_own``: a task's own ``apply_async`` is still to get its call, and may change it."""
        if not plan.calls:
            return
        app = self._app
        tasks, ends_chords = self._tasks, app.backend.ends_chords
        check_embedded = not (ends_chords and app.router.creates_missing)
        looked_at, own = None, False
        for call in plan.calls:
            task = tasks.get(call.task)
            if task is not None:
                if task is not looked_at:
                    looked_at = task
                    own = type(task).apply_async is not APPLY_ASYNC or "apply_async" in task.__dict__
                    plan.has_own = plan.has_own or own
                if typed and not (own and before_own):
                    # Mostly without a call: each step of a chain passes.
                    low, high = task.arity
                    if call.kwargs or not low <= len(call.args) <= high:
                        task.check_typing(call.args, call.kwargs)
                if task.soft_time_limit or call.options.get("soft_time_limit"):
                    check_limits(task, call.options)
            if check_embedded:
                self._check_embedded(call, ends_chords)

    def _check_embedded(self, call: TaskCall, ends_chords: bool) -> None:
        """Check the queues and the chords of later steps now: their sender would have no caller to raise to.

        The queue of a task that is not registered here may be an attribute of it that only workers know.
        """
        # Imported late: most apps make missing queues and end chords.
        from canvas.drivers.ports.capabilities import missing
        from canvas.producer.embedded_signatures import embedded_signatures

        for sig in embedded_signatures(call.options):
            if not ends_chords and sig.get("subtask_type") == "chord":
                raise missing("chords")
            name, options = sig["task"], sig["options"]
            if sig.get("subtask_type") is None and (options.get("queue") or name in self._tasks):
                options = {**self._app.exec_options(name), **options}
                self._app.router.route(name, options, sig["args"], sig["kwargs"])

    def streams(self, sig: Signature[Any]) -> bool:
        """Whether ``sig`` is sent in slices: a group or chord with an iterator of many members."""
        kind = sig.get("subtask_type")
        if kind not in _GROUPS or not isinstance(sig["kwargs"].get("header" if kind == "chord" else "tasks"), LazyList):
            return False
        from canvas.graph.stream import streams

        return streams(sig)

    def slices(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> "Slices":
        """The plans of a signature that ``streams``, each to be sent before the next is read."""
        from canvas.graph.lower import PartialCall
        from canvas.graph.stream import Slices, stream

        app = self._app
        check_options(sig.task, {**sig.options, **options})
        if sig.subtask_type == "chord":
            app.backend.ensure_chords_allowed()
        call = PartialCall(tuple(args), dict(kwargs), _without_connections(options))
        plans = stream(
            sig, call, new_id=app.new_id, reply_to=app.oid,
            errback_on_header=bool(app.conf.task_allow_error_cb_on_chord_header), check=check_options,
        )  # fmt: skip
        etas: list[datetime] = []

        def checked() -> Iterator[Plan]:
            for plan in plans:
                plan.etas = etas
                self._check(plan, before_own=True)
                yield plan

        return Slices(checked())


def _call_of_wire(
    sig: dict[str, Any], args: tuple[Any, ...], options: Mapping[str, Any], new_id: Callable[[], str]
) -> TaskCall | None:
    """The call of one task, as the step of a chain mostly is: without options that have to be checked, called with
    none but ``chain``. ``None`` for another signature."""
    name, own, kwargs, given = sig.get("task"), sig.get("args"), sig.get("kwargs"), sig.get("options")
    if (
        sig.get("subtask_type")
        or type(name) is not str
        or type(own) is not list
        or type(kwargs) is not dict
        or type(given) is not dict
        or not TEXT_OPTIONS.issuperset(given)
        or not _TEXT.issuperset(map(type, given.values()))
        or not _REST.issuperset(options)
    ):
        return None
    merged = {**given, **options}
    if not merged.get("task_id"):
        merged["task_id"] = new_id()
    return TaskCall(name, tuple(own) if sig.get("immutable") else (*args, *own), kwargs, merged)


def _without_connections(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in CONNECTIONS}


def plan_task(
    sig: Signature[Any],
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    new_id: Callable[[], str],
) -> Plan:
    """The plan of a call of one task: one message, which needs no graph."""
    own = {key: value for key, value in options.items() if value is not None} if options else {}
    rest = own.pop("chain", None)
    merged_args, merged_kwargs, merged = sig.merged_with(args, kwargs, own)
    merged = {**merged}
    task_id = merged.get("task_id")
    if not task_id:
        task_id = merged["task_id"] = new_id()
    if rest is not None:
        merged["chain"] = [*rest, *merged["chain"]] if merged.get("chain") else rest
    result = ResultRef(task_id, None, None, sig["task"], merged.get("ignore_result"))
    return Plan([TaskCall(sig["task"], tuple(merged_args), merged_kwargs, merged)], [], result, result)
