"""Send a signature: compile, encode, start its chords, publish, give the handle."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any, Protocol, TypeVar

from canvas.context import current_request
from canvas.drivers.ports import Driver
from canvas.drivers.retry_policy import Delays, delays
from canvas.errors import DuplicateTask, EncodeError, NoResultBackend
from canvas.model.compiled import Plan, ResultRef, TaskCall
from canvas.model.message import Message, Publish
from canvas.model.settlement import ChordStart, UniqueLock
from canvas.primitives.cycles import refuse_cycles
from canvas.primitives.lazy_list import LazyList
from canvas.primitives.ports import SignatureApp
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.producer.message_builder import BuiltMessage, Lineage, MessageBuilder
from canvas.producer.options import CONNECTIONS, check_limits, check_options
from canvas.producer.routing import Router
from canvas.producer.task_plan import plan_task
from canvas.result import AsyncResult, GroupResult
from canvas.result.backend import NO_CHORD_BACKEND, Backend
from canvas.task.limits import unique_key
from canvas.task.option_names import warn_of_call_options
from canvas.task.task import Task
from canvas.telemetry import emit

_IN_WORKFLOW = ("chain", "chord", "group_id")
_GC_PAUSE_FROM = 100
T = TypeVar("T")
_GROUPS = ("group", "chord")
_COMPOSITES = frozenset({"chain", "group", "chord"})


class Announcer(Protocol):
    """Announces that messages were sent."""

    def tell(self, messages: Sequence[Message]) -> None: ...


class SenderApp(SignatureApp, Protocol):
    """The parts of an app that sending needs. Some are made again when settings change."""

    @property
    def tasks(self) -> Mapping[str, Task[Any]]: ...

    @property
    def driver(self) -> Driver: ...

    @property
    def backend(self) -> Backend: ...

    @property
    def router(self) -> Router: ...

    @property
    def client(self) -> MessageBuilder: ...

    @property
    def sent_events(self) -> Announcer: ...

    @property
    def sends_itself(self) -> bool: ...

    @property
    def current_worker_task(self) -> Task[Any] | None: ...

    @property
    def AsyncResult(self) -> type[AsyncResult]: ...

    @property
    def GroupResult(self) -> type[GroupResult]: ...

    def ambient(self) -> Lineage: ...

    def now(self) -> datetime: ...

    def send_task(
        self, name: str, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any: ...


class Sender:
    """The straight line from a signature to its queue, for one app."""

    def __init__(self, app: SenderApp) -> None:
        self._app = app

    def send(self, sig: Signature[Any], plan: Plan, options: Mapping[str, Any]) -> Any:
        """Send what starts ``sig``, whose plan it is; the handle of its result, ``None`` for an empty chain."""
        own = self._sent_by_themselves(sig, plan)
        outgoing, joins = self.encode(plan)
        driver = self._app.driver
        unique = self._unique(plan)
        if unique is not None:
            owner = driver.broker.publish_unique(outgoing[0].publish, *unique, self._delays(options))
            if owner is not None:
                return self._under_way(plan, owner)
        messages = [out.publish for out in outgoing]
        if joins:
            self._start(joins, messages, options)
        elif messages and unique is None:
            driver.broker.publish(messages, self._delays(options))
        alone = self._have_sent(plan, own)
        if self._app.conf.task_send_sent_event:
            self._tell_sent(outgoing)
        return self._sent(sig, plan, outgoing, options) if alone is None else alone

    async def asend(self, sig: Signature[Any], plan: Plan, options: Mapping[str, Any]) -> Any:
        """``send`` on an event loop."""
        own = self._sent_by_themselves(sig, plan)
        outgoing, joins = self.encode(plan)
        driver = self._app.driver
        unique = self._unique(plan)
        if unique is not None:
            owner = await _in_thread(
                lambda: driver.broker.publish_unique(outgoing[0].publish, *unique, self._delays(options))
            )
            if owner is not None:
                return self._under_way(plan, owner)
        messages = [out.publish for out in outgoing]
        if joins:
            await _in_thread(lambda: self._start(joins, messages, options))
        elif messages and unique is None:
            await driver.broker.apublish(messages, self._delays(options))
        alone = await _in_thread(lambda: self._have_sent(plan, own)) if own else None
        if self._app.conf.task_send_sent_event:
            await _in_thread(lambda: self._tell_sent(outgoing))
        return self._sent(sig, plan, outgoing, options) if alone is None else alone

    def _sent_by_themselves(self, sig: Signature[Any], plan: Plan) -> list[TaskCall]:
        """Take those of a composite's messages out of its plan whose tasks have an ``apply_async`` of their own; all of
        them, where the app has a ``send_task`` of its own."""
        if sig.subtask_type is None:
            return []
        tasks, every = self._app.tasks, self._app.sends_itself
        left: list[TaskCall] = []
        own: list[TaskCall] = []
        for dispatch in plan.dispatches:
            task = tasks.get(dispatch.task)
            (own if every or (task is not None and task.sends_itself) else left).append(dispatch)
        plan.dispatches = left
        return own

    def _have_sent(self, plan: Plan, own: list[TaskCall]) -> Any:
        """Have them sent; the result of the one that is the whole plan."""
        for dispatch in own:
            dispatch.options["add_to_parent"] = False
            task = self._app.tasks.get(dispatch.task)
            if task is not None and task.sends_itself:
                result = task.apply_async(dispatch.args, dispatch.kwargs, **dispatch.options)
            else:
                result = self.send_by_name(dispatch)
            if plan.result is not None and plan.result.parent is None and plan.result.id == dispatch.options["task_id"]:
                return result
        return None

    def send_by_name(self, dispatch: TaskCall) -> Any:
        """Have the app's own ``send_task`` send it, with the options that its task gives."""
        task = self._app.tasks.get(dispatch.task)
        given = {**(task.exec_options() if task is not None else {}), **dispatch.options}
        return self._app.send_task(dispatch.task, dispatch.args, dispatch.kwargs, task_type=task, **given)

    def _start(self, joins: list[ChordStart], messages: list[Publish], options: Mapping[str, Any]) -> None:
        """Start chords, and send their headers, in one step. Raises NoResultBackend."""
        self._app.backend.ensure_chords_allowed()
        self._app.driver.settler.publish_with_chords(joins, messages, self._delays(options))

    def _unique(self, plan: Plan) -> tuple[UniqueLock, float] | None:
        """The lock that a plan of one unique task, in no workflow, needs, and for how many seconds."""
        if len(plan.dispatches) != 1 or plan.barriers:
            return None
        dispatch = plan.dispatches[0]
        task = self._app.tasks.get(dispatch.task)
        if task is None or not task.unique_for or any(dispatch.options.get(name) for name in _IN_WORKFLOW):
            return None
        assert plan.result is not None
        return UniqueLock(unique_key(task, dispatch.args, dispatch.kwargs), plan.result.id), task.unique_for

    def _under_way(self, plan: Plan, owner: str) -> AsyncResult:
        """The result of the unique task that keeps this one from being sent. Raises DuplicateTask, where it is to."""
        task = self._app.tasks[plan.dispatches[0].task]
        if task.unique_conflict == "raise":
            raise DuplicateTask(task.name, owner)
        return self._app.AsyncResult(owner)

    def _tell_sent(self, outgoing: list[BuiltMessage]) -> None:
        for out in outgoing:
            self._app.sent_events.tell([out.message])

    def _delays(self, options: Mapping[str, Any]) -> Delays:
        """When to try again: as the driver sees fit where no policy is given (Celery's ``task_publish_retry`` and
        ``task_publish_retry_policy``)."""
        conf = self._app.conf
        retry, given = options.get("retry"), options.get("retry_policy")
        if not (conf.task_publish_retry if retry is None else retry):
            return ()
        configured = conf.changed().get("task_publish_retry_policy")
        policy = {**(configured or {}), **given} if given else configured
        return None if policy is None else delays(policy)

    def plan(
        self,
        sig: Signature[Any],
        args: Iterable[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
        typed: bool = True,
    ) -> Plan:
        """The compiled run of ``sig``; ``typed``: arguments are held against the functions that are known here.

        Raises CompositionError, TypeError for arguments that don't fit, ConfigurationError for a queue that may not
        be made or a chord without a place for results.
        """
        app = self._app
        if options or sig.options:
            given = {**sig.options, **options}
            check_options(sig.task, given)
            warn_of_call_options(sig.task, given)
        if sig.subtask_type in _COMPOSITES or type(sig).__name__ == "chunks":
            from canvas.graph.compile import compile

            options = {name: value for name, value in options.items() if name not in CONNECTIONS}
            plan = compile(
                sig, args, kwargs, options, new_id=app.new_id, reply_to=app.oid,
                errback_on_header=bool(app.conf.task_allow_error_cb_on_chord_header),
            )  # fmt: skip
        else:
            if sig.route_name is not None:
                options = {"route_name": sig.route_name, **options}
            plan = plan_task(sig, args, kwargs, options, app.new_id)
        self._check(plan, typed)
        return plan

    def plan_wire(self, sig: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Plan:
        """``plan`` of a signature in wire form."""
        return self.plan(maybe_signature(sig, self._app), args, {}, options)

    def _check(self, plan: Plan, typed: bool) -> None:
        for dispatch in plan.dispatches:
            task = self._app.tasks.get(dispatch.task)
            if task is not None:
                if typed:
                    task.check_arguments(dispatch.args, dispatch.kwargs)
                check_limits(task, dispatch.options)
            self._check_embedded(dispatch)

    def streams(self, sig: Signature[Any]) -> bool:
        """Whether ``sig`` is sent in slices: a group or chord with an iterator of many members."""
        if sig.subtask_type not in _GROUPS:
            return False
        if not isinstance(sig.kwargs.get("header" if sig.subtask_type == "chord" else "tasks"), LazyList):
            return False
        from canvas.graph.stream import streams

        return streams(sig)

    def stream(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """Send ``sig`` in slices, each before the next is read; the handle of its result.

        Where a member cannot be read or sent, those of the slices before are sent: as with Celery, a chord's body then
        never runs.
        """
        for plan in self._plans(sig, args, kwargs, options):
            result = self.send(sig, plan, options)
        return result

    async def astream(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """``stream`` on an event loop; the iterator is read on the loop's thread."""
        for plan in self._plans(sig, args, kwargs, options):
            result = await self.asend(sig, plan, options)
        return result

    def _plans(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Iterator[Plan]:
        from canvas.graph.lower import PartialCall
        from canvas.graph.stream import stream

        app = self._app
        check_options(sig.task, {**sig.options, **options})
        if sig.subtask_type == "chord" and app.driver.results is None:
            raise NoResultBackend(NO_CHORD_BACKEND)
        given = {name: value for name, value in options.items() if name not in CONNECTIONS}
        plans = stream(
            sig, PartialCall(tuple(args), dict(kwargs), given), new_id=app.new_id, reply_to=app.oid,
            errback_on_header=bool(app.conf.task_allow_error_cb_on_chord_header),
        )  # fmt: skip
        etas: list[datetime] = []
        for plan in plans:
            plan.etas = etas
            self._check(plan, typed=True)
            yield plan

    def _check_embedded(self, dispatch: TaskCall) -> None:
        """Later steps' queues and chords, while there is somebody to tell."""
        router, stores = self._app.router, self._app.driver.results is not None
        if stores and router.creates_missing:
            return
        # Most apps make missing queues and store results.
        from canvas.producer.embedded import embedded_signatures

        for sig in embedded_signatures(dispatch.options):
            if not stores and sig.get("subtask_type") == "chord":
                raise NoResultBackend(NO_CHORD_BACKEND)
            if sig.get("subtask_type") is None:
                router.route(sig["task"], sig["options"], sig["args"], sig["kwargs"])

    def encode(self, plan: Plan, ambient: Lineage | None = None) -> tuple[list[BuiltMessage], list[ChordStart]]:
        """The plan's messages as bytes, and the chords to start before they are published.

        Raises EncodeError, and CompositionError for a signature that contains itself.
        """
        app = self._app
        ambient = ambient if ambient is not None else app.ambient()
        try:
            outgoing = self._outgoing(plan.dispatches, ambient)
        except (RecursionError, EncodeError) as exc:
            refuse_cycles(*((one.args, one.kwargs, one.options) for one in plan.dispatches))
            raise exc from exc.__cause__
        joins = []
        etas = _etas(outgoing) if plan.barriers or plan.etas is not None else []
        if plan.etas is not None:
            plan.etas += [max(etas)] if etas else []
            etas = plan.etas
        if plan.barriers:
            expires = _waits(app.backend.chord_lives, etas, app.now())
            for barrier in plan.barriers:
                saved = app.backend.encode_group(barrier.structure) if barrier.structure else None
                joins.append(ChordStart(barrier.group_id, barrier.size, expires, saved))
        return outgoing, joins

    def _outgoing(self, dispatches: list[TaskCall], ambient: Lineage) -> list[BuiltMessage]:
        client = self._app.client
        if len(dispatches) <= _GC_PAUSE_FROM:
            return client.outgoing(dispatches, ambient)
        from canvas.model.gc_pause import gc_paused

        with gc_paused():
            return client.outgoing(dispatches, ambient)

    def _sent(self, sig: Signature[Any], plan: Plan, outgoing: list[BuiltMessage], options: Mapping[str, Any]) -> Any:
        for out in outgoing:
            emit("message.published", message=out.message)
        if plan.result is None:
            return None
        handle = self.handle(plan.result)
        if len(outgoing) == 1 and outgoing[0].message.id == handle.id:
            handle.sent_to = outgoing[0].publish.routing_key if not outgoing[0].publish.exchange else None
        if options.get("add_to_parent", True) and plan.trail is not None and current_request() is not None:
            task = self._app.current_worker_task
            if task is not None:
                task.add_trail(handle if plan.trail is plan.result else self.handle(plan.trail))
        return handle

    def handle(self, pending: ResultRef) -> Any:
        """The AsyncResult or GroupResult of a result to come, with its ancestors."""
        app = self._app
        handle: Any = None
        for node in pending.line():
            if node.members is None:
                handle = app.AsyncResult(node.id, parent=handle)
                if self._ignored(node):
                    handle.ignored = True
            else:
                handle = app.GroupResult(node.id, [self.handle(m) for m in node.members], parent=handle)
        return handle

    def _ignored(self, node: ResultRef) -> bool:
        """Whether a task's result will not be kept, as far as that is known here."""
        if node.ignored is not None:
            return bool(node.ignored)
        task = self._app.tasks.get(node.task or "")
        return task is not None and bool(task.ignore_result)


def _etas(outgoing: list[BuiltMessage]) -> list[datetime]:
    return [_moment(eta) for out in outgoing if (eta := out.message.headers["eta"]) is not None]


def _waits(seconds: int, etas: list[datetime], now: datetime) -> int:
    """Seconds for which chords live that wait for messages with these etas, the latest of which starts last."""
    return seconds + max(0, ceil((max(etas) - now).total_seconds())) if seconds and etas else seconds


def _moment(eta: str) -> datetime:
    moment = datetime.fromisoformat(eta)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


async def _in_thread(call: Callable[[], T]) -> T:
    """``call`` on a thread, while the event loop goes on."""
    # A program on an event loop has imported it already; all others do without.
    import asyncio

    return await asyncio.to_thread(call)
