"""Sending by an app: tasks by name, signatures, and the data that their messages take from the app."""

import os
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any

from canvas import result as handles
from canvas.app.registry import TaskRegistry
from canvas.app.task_definitions import TaskDefinitions
from canvas.caller_warnings import AlwaysEagerIgnored, ends_in_caller, warn_caller
from canvas.config.zones import local_zone, zone_named
from canvas.context import called_task, current_request
from canvas.errors import CanvasError
from canvas.model import ids
from canvas.model.call_options import OMITTED, unset
from canvas.model.ids import Lineage
from canvas.primitives.cycles import too_deep
from canvas.primitives.signature import Signature, signature
from canvas.task.arguments import check_call
from canvas.task.pydantic_models import Models
from canvas.task.task import Task

if TYPE_CHECKING:
    from canvas.model.compiled import Plan
    from canvas.producer.message_builder import OwnMessages


@ends_in_caller("send_task", "asend_task", "signature")
class SendingApp(TaskDefinitions):
    """An app that sends tasks and signatures, or runs them in this process."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.clock_offset = 0.0
        """Seconds by which the broker's clock is ahead of this machine's, as far as a worker knows."""
        self.own_messages: OwnMessages | None = None
        """The functions that ``app.amqp`` has for messages, once the program has asked for it."""
        self._local_oid = threading.local()
        self._oid_lock = threading.Lock()
        self._process_oid = (0, "")

    @property
    def tasks(self) -> TaskRegistry:
        """Every registered task by name."""
        if not self.finalized:
            self.finalize(auto=True)
        return self.registry

    @property
    def _tasks(self) -> TaskRegistry:
        return self.registry

    @property
    def timezone(self) -> tzinfo:
        """The time zone of the setting ``timezone``. Default: UTC, or that of the machine without ``enable_utc``.
        Assign a name or a tzinfo to change it."""
        settings = self.conf.__dict__  # read without a call: a task that is sent asks four times
        found: str | tzinfo | None = settings["timezone"] or settings["_zone"]
        if isinstance(found, tzinfo):
            return found
        return zone_named(found or "UTC") if found or settings["enable_utc"] else local_zone()

    @timezone.setter
    def timezone(self, zone: str | tzinfo | None) -> None:
        self.conf["timezone"] = zone

    def now(self) -> datetime:
        """The current time in the app's time zone. A worker whose clock is wrong goes by the broker's clock."""
        now = datetime.now(self.timezone)
        return now + timedelta(seconds=self.clock_offset) if self.clock_offset else now

    @property
    def hostname(self) -> str:
        """The name of this machine."""
        # Imported late: few programs ask for the name, and the module takes time to import.
        import socket

        return socket.gethostname()

    @property
    def oid(self) -> str:
        """Where this thread's replies go: one id per process and thread; with ``rpc://`` results one per process."""
        key = os.getpid()
        known = getattr(self._local_oid, "value", None)
        if known is None or known[0] != key:
            found = self.process_oid if self.result_target.is_rpc else ids.new_id()
            known = self._local_oid.value = (key, found)
        return known[1]

    @property
    def process_oid(self) -> str:
        """One id per process: the name of its queue for ``rpc://`` results."""
        with self._oid_lock:
            if self._process_oid[0] != os.getpid():
                self._process_oid = (os.getpid(), ids.new_id())
            return self._process_oid[1]

    @property
    def reply_queue(self) -> dict[str, Any]:
        """The fields of RpcOptions about that queue: its name, and whether this process has named it."""
        return {"queue": lambda: self.process_oid, "named": lambda: self._process_oid[0] == os.getpid()}

    new_id = staticmethod(ids.new_id)

    def exec_options(self, name: str) -> Mapping[str, Any]:
        """The options that the attributes of a registered task give its messages; none for another name."""
        task = self.tasks.get(name)
        return task.attribute_options() if task is not None else {}

    def models_of(self, name: str) -> Models | None:
        """The pydantic models of a task that is registered here, if it has any."""
        task = self.tasks.get(name)
        return None if task is None else task.pydantic_models

    def apply_signature(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """Compile ``sig`` and send its first messages. Returns the handle of its result (``None`` for an empty
        chain)."""
        if self.conf.task_always_eager:
            return self._send_eagerly(sig, tuple(args), dict(kwargs), options)
        sender, kind = self.sender, sig.get("subtask_type")
        if kind is not None and sender.streams(sig):
            return sender.stream(sig, args, kwargs, options)
        try:
            try:
                plan = sender.plan(sig, args, kwargs, options)
            except RecursionError as exc:
                raise too_deep(sig) from exc
            if kind is None and self.sends_itself and not sender.is_composite(sig):
                return sender.send_by_name(sig, plan, options)
            return sender.send(sig, plan, options)
        except CanvasError as exc:
            raise exc.with_traceback(None)  # noqa: B904 - its text explains it, frames in canvas do not

    async def aapply_signature(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """``apply_signature`` on an event loop."""
        if self.conf.task_always_eager:
            return self._send_eagerly(sig, tuple(args), dict(kwargs), options)
        if self.sends_itself:
            # Imported late: a program on an event loop has imported it already; all others do without.
            import asyncio

            return await asyncio.to_thread(self.apply_signature, sig, args, kwargs, options)
        if self.sender.streams(sig):
            return await self.sender.astream(sig, args, kwargs, options)
        try:
            return await self.sender.asend(sig, self.plan(sig, args, kwargs, options), options)
        except CanvasError as exc:
            raise exc.with_traceback(None)  # noqa: B904 - its text explains it, frames in canvas do not

    @property
    def sends_itself(self) -> bool:
        """Whether its class, or the app itself, overrides ``send_task``, which then sends tasks and signatures too."""
        own = self.__dict__.get("send_task")
        patched = own is not None and getattr(own, "__func__", None) is not SendingApp.send_task
        return patched or type(self).send_task is not SendingApp.send_task

    def _send_eagerly(
        self, sig: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
    ) -> Any:
        from canvas.execution.eager import send_eagerly

        return send_eagerly(self, sig, args, kwargs, dict(options))

    def apply_eagerly(
        self, sig: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """Run ``sig`` in this process. Returns an EagerResult."""
        # Imported late: most programs run nothing in their own process.
        from canvas.execution.eager import apply_eagerly

        return apply_eagerly(self, sig, args, kwargs, dict(options))

    def apply_task(self, sig: Signature[Any], options: Mapping[str, Any]) -> Any:
        """``apply_eagerly`` of one task, by the ``apply`` of all tasks."""
        from canvas.execution.eager import apply_task

        return apply_task(self, sig, dict(options))

    def plan(
        self,
        sig: Signature[Any],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Plan":
        """The plan of ``sig``: the messages that sending it would send. Raises CompositionError."""
        try:
            return self.sender.plan(sig, args, kwargs or {}, options or {})
        except RecursionError as exc:
            # Not in the planner: a worker that settles a task makes the plan again with a deeper stack.
            raise too_deep(sig) from exc

    def send_task(
        self, name: str, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        countdown: float | None = None, eta: Any = None, task_id: str | None = None, producer: Any = None,
        connection: Any = None, router: Any = None, result_cls: Any = None, expires: Any = OMITTED,
        publisher: Any = None, link: Any = None, link_error: Any = None, add_to_parent: bool = True,
        group_id: str | None = None, group_index: int | None = None, retries: int = 0, chord: Any = None,
        reply_to: str | None = None, time_limit: float | None = OMITTED, soft_time_limit: float | None = OMITTED,
        root_id: str | None = None, parent_id: str | None = None, route_name: str | None = None,
        shadow: str | None = None, chain: Any = None, task_type: Any = None, replaced_task_nesting: int = 0,
        **options: Any,
    ) -> Any:  # fmt: skip
        """Send a task by name; it need not be registered here. Returns its AsyncResult.

        The options of a task that is registered here count, as in Celery (``expires`` and the limits: unless given as
        ``None``); arguments are not checked. A subclass that overrides this also sends the app's tasks and signatures.
        """
        named = {
            "countdown": countdown, "eta": eta, "task_id": task_id, "producer": producer, "connection": connection,
            "router": router, "result_cls": result_cls, "publisher": publisher, "link": link,
            "link_error": link_error, "group_id": group_id, "group_index": group_index, "retries": retries or None,
            "chord": chord, "reply_to": reply_to, "root_id": root_id, "parent_id": parent_id, "route_name": route_name,
            "shadow": shadow, "chain": chain, "replaced_task_nesting": replaced_task_nesting or None,
        }  # fmt: skip
        # None replaces the task's limit; other options of None count as not given.
        limits = {"expires": expires, "time_limit": time_limit, "soft_time_limit": soft_time_limit}
        options.update(one for one in (named | limits).items() if one[1] is not (OMITTED if one[0] in limits else None))
        if not add_to_parent:
            options["add_to_parent"] = False
        plain = self.plain_calls.send(name, args, kwargs, options)
        return plain if plain is not None else self.sender.send(*self._by_name(name, args, kwargs, options), options)

    async def asend_task(
        self, name: str, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """``send_task`` on an event loop; options by name only."""
        if self.sends_itself:
            # Imported late: a program on an event loop has imported it already; all others do without.
            import asyncio

            return await asyncio.to_thread(lambda: self.send_task(name, args, kwargs, **options))
        plain = await self.plain_calls.asend(name, args, kwargs, options)
        if plain is not None:
            return plain
        return await self.sender.asend(*self._by_name(name, args, kwargs, options), options)

    def _by_name(self, name: str, args: Any, kwargs: Any, options: Mapping[str, Any]) -> "tuple[Signature[Any], Plan]":
        check_call(name, args, kwargs)
        if self.conf.task_always_eager:
            warn_caller("task_always_eager has no effect on send_task", AlwaysEagerIgnored)
        sig: Signature[Any] = Signature(name, args, kwargs, app=self)
        sig["options"] = unset(options)
        return sig, self.sender.plan(sig, (), {}, options, typed=False)

    def signature(self, *args: Any, **kwargs: Any) -> Signature[Any]:
        """``signature(...)`` bound to this app."""
        kwargs["app"] = self
        made = signature(*args, **kwargs)
        made.own_app = self
        return made

    def lineage(self) -> Lineage:
        """The root, parent and priority that messages inherit from the running task."""
        request = current_request()
        if request is None:
            return Lineage()
        priority = None
        if self.conf.task_inherit_parent_priority:
            priority = (request.properties or {}).get("priority")
        return Lineage(request.root_id or request.id, request.id, priority)

    @property
    def current_task(self) -> Task[Any] | None:
        """The task that is running here, called as a function or not; ``None`` outside tasks."""
        return called_task() or self.current_worker_task

    @property
    def current_worker_task(self) -> Task[Any] | None:
        """The task that a worker runs here; ``None`` outside."""
        request = current_request()
        if request is None:
            return None
        return request.runs if request.runs is not None else self.tasks.get(request.task)

    @cached_property
    def AsyncResult(self) -> type[handles.AsyncResult]:
        """The class of handles on this app's tasks."""
        return handles.class_of_app(handles.AsyncResult, self)

    @cached_property
    def GroupResult(self) -> type[handles.GroupResult]:
        """The class of handles on this app's groups."""
        return handles.class_of_app(handles.GroupResult, self)

    @cached_property
    def ResultSet(self) -> type[handles.ResultSet]:
        """The class of sets of this app's results."""
        return handles.class_of_app(handles.ResultSet, self)
