"""Send a plan: build its messages, start its chords, publish, give the handle of its result."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import ceil
from types import ModuleType
from typing import Any

from canvas import telemetry
from canvas.context import current_request
from canvas.drivers.retry_policy import Delays, check_policy, delays
from canvas.errors import EncodeError
from canvas.model.compiled import Plan, TaskCall, gathering
from canvas.model.gc_pause import PAUSE_FROM, gc_paused
from canvas.model.ids import Lineage
from canvas.model.message import BuiltMessage, Message
from canvas.model.settlement import ChordStart, UniqueLock
from canvas.primitives.cycles import refuse_cycles
from canvas.primitives.signature import Signature
from canvas.producer.planner import Planner, SenderApp
from canvas.producer.result_handles import handle_of
from canvas.task.task import Task
from canvas.telemetry import emit
from canvas.wire.moments import instant


@dataclass(slots=True)
class Sending:
    """A plan that is ready to be sent: its messages as bytes, its chords, its lock."""

    plan: Plan
    options: Mapping[str, Any]
    messages: list[BuiltMessage]
    chords: list[ChordStart]
    lock: tuple[UniqueLock, float] | None
    """The lock of a unique task, and the seconds for which it is held."""
    own: list[TaskCall]
    """The calls that their tasks, or the app, send themselves."""


class Sender(Planner):
    """The straight line from a signature to its queue, for one app."""

    def __init__(self, app: SenderApp) -> None:
        super().__init__(app)
        self._retry_policy = app.conf.changed().get("task_publish_retry_policy")
        """The policy that the settings give; ``None`` where they give none."""
        self.app_sends_itself = app.sends_itself
        """Whether the app's own ``send_task`` sends what a worker sends."""

    @cached_property
    def _own_sending(self) -> ModuleType:
        # Imported late: few programs override apply_async or send_task.
        from canvas.producer import own_apply_async

        return own_apply_async

    def send(self, sig: Signature[Any], plan: Plan, options: Mapping[str, Any]) -> Any:
        """Send ``plan``, which starts ``sig``. Returns the handle of its result, ``None`` for an empty chain.

        Raises EncodeError, OperationalError, NoResultBackend, DuplicateTask.
        """
        plans = gathering.get()
        if plans is not None:
            return self._own_sending.gather(self._app, sig, plan, plans)
        sending = self._prepared(sig, plan, options)
        owner = self._publish(sending)
        if owner is not None:
            return self._existing_result(plan, owner)
        alone = self._send_own(sending) if sending.own else None
        if self._app.conf.task_send_sent_event:
            self._announce(sending.messages)
        return self._sent(sending) if alone is None else alone

    async def asend(self, sig: Signature[Any], plan: Plan, options: Mapping[str, Any]) -> Any:
        """``send`` on an event loop, which has imported asyncio already."""
        import asyncio

        sending = self._prepared(sig, plan, options)
        if sending.lock is not None or sending.chords:
            owner = await asyncio.to_thread(self._publish, sending)
            if owner is not None:
                return self._existing_result(plan, owner)
        elif sending.messages:
            messages = [out.publish for out in sending.messages]
            await self._app.driver.broker.apublish(messages, self.delays(sending.options, sending.plan.calls))
        alone = await asyncio.to_thread(self._send_own, sending) if sending.own else None
        if self._app.conf.task_send_sent_event:
            await asyncio.to_thread(self._announce, sending.messages)
        return self._sent(sending) if alone is None else alone

    def _prepared(self, sig: Signature[Any], plan: Plan, options: Mapping[str, Any]) -> Sending:
        own: list[TaskCall] = []
        if (self._app.sends_itself or plan.has_own) and self.is_composite(sig):
            own = self._own_sending.take_own(self._app, plan)
        messages, chords = self.encode(plan)
        return Sending(plan, options, messages, chords, self._lock(plan), own)

    def gathered(self, plan: Plan, lineage: Lineage) -> list[Plan]:
        """Have the tasks, or the app, send those calls of a plan that they send themselves: the plans of what they
        send. The calls are no longer in ``plan``."""
        own = self._own_sending.take_own(self._app, plan)
        plans: list[Plan] = self._own_sending.gather_own(self._app, plan, own, lineage)
        return plans

    def _lock(self, plan: Plan) -> tuple[UniqueLock, float] | None:
        if len(plan.calls) != 1 or plan.chords:
            return None
        task = self._tasks.get(plan.calls[0].task)
        if task is None or not task.unique_for:
            return None
        # Imported late: few programs have unique tasks.
        from canvas.producer.unique import lock_of

        lock = lock_of(plan, task)
        return None if lock is None else (lock, task.unique_for)

    def _publish(self, sending: Sending) -> str | None:
        """Publish the messages, in one step with the start of their chords.

        Returns the id of the unique task that keeps this one from being sent, if any. Raises NoResultBackend.
        """
        driver = self._app.driver
        messages = [out.publish for out in sending.messages]
        if sending.lock is not None:
            return driver.coordination.publish_unique(
                messages[0], *sending.lock, self.delays(sending.options, sending.plan.calls)
            )
        if sending.chords:
            if not self._app.backend.ends_chords:
                self._app.backend.ensure_chords_allowed()
            driver.settler.publish_with_chords(
                sending.chords, messages, self.delays(sending.options, sending.plan.calls)
            )
        elif messages:
            driver.broker.publish(messages, self.delays(sending.options, sending.plan.calls))
        return None

    def _existing_result(self, plan: Plan, owner: str) -> Any:
        from canvas.producer.unique import existing_result

        return existing_result(self._app, plan, owner)

    def _send_own(self, sending: Sending) -> Any:
        return self._own_sending.send_own(self._app, sending.plan, sending.own)

    def send_by_name(self, sig: Signature[Any], plan: Plan, options: Mapping[str, Any]) -> Any:
        """Have the app's own ``send_task`` send the signature of a task, with the options that its task gives."""
        call = plan.calls[0]
        own = {"task_id": options.get("task_id") or (sig.get("options") or {}).get("task_id")}
        return self._own_sending.send_task(self._app, call.task, call.args, call.kwargs, {**call.options, **own})

    def send_call(
        self, task: Task[Any], args: Iterable[Any] | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> Any:
        """Have the app's own ``send_task`` send a task's own call, as it was made. Raises TypeError for arguments that
        do not fit the function."""
        task.check_typing(tuple(args or ()), kwargs or {})
        return self._own_sending.send_task(self._app, task.name, args, kwargs, options)

    def _announce(self, messages: list[BuiltMessage]) -> None:
        for out in messages:
            self._app.sent_events.announce([out.message])

    def delays(self, options: Mapping[str, Any], calls: Sequence[TaskCall | Message]) -> Delays:
        """When to try again, by ``task_publish_retry`` and ``task_publish_retry_policy`` or the call's options.

        Without a policy the driver decides. Raises TypeError, with the task of the first of ``calls``, for a key that
        no policy has.
        """
        conf = self._app.conf
        retry, given = options.get("retry"), options.get("retry_policy")
        if not (conf.task_publish_retry if retry is None else retry):
            return ()
        policy = {**(self._retry_policy or {}), **given} if given else self._retry_policy
        if policy is None:
            return None
        check_policy(self._retry_policy or {}, "task_publish_retry_policy")
        check_policy(given or {}, f"{calls[0].task if calls else 'chord'}: retry_policy")
        return delays(policy)

    def _sent(self, sending: Sending) -> Any:
        """The handle of the result; a running task counts it among its children."""
        plan, messages = sending.plan, sending.messages
        if "message.published" in telemetry.listeners:
            for out in messages:
                emit("message.published", message=out.message)
        if plan.result is None:
            return None
        handle = handle_of(self._app, plan.result)
        if len(messages) == 1 and messages[0].id == handle.id:
            handle.sent_to = messages[0].publish.routing_key if not messages[0].publish.exchange else None
        if sending.options.get("add_to_parent", True) and plan.trail is not None and current_request() is not None:
            task = self._app.current_worker_task
            if task is not None:
                task.add_trail(handle if plan.trail is plan.result else handle_of(self._app, plan.trail))
        return handle

    def stream(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """Send ``sig`` in slices, each before the next is read. Returns the handle of its result.

        When a member cannot be read or sent, those of the slices before are sent: a chord then ends in FAILURE, and
        a note of the exception has their number.
        """
        slices = self.slices(sig, args, kwargs, options)
        try:
            for plan in slices:
                result = self.send(sig, plan, options)
        except BaseException as exc:
            if (end := slices.ending(exc)) is not None:
                self.send(end, self.plan(end, (), {}, {}), {"add_to_parent": False})
            raise
        return result

    async def astream(
        self, sig: Signature[Any], args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any:
        """``stream`` on an event loop; the iterator is read on the loop's thread."""
        slices = self.slices(sig, args, kwargs, options)
        try:
            for plan in slices:
                result = await self.asend(sig, plan, options)
        except BaseException as exc:
            if (end := slices.ending(exc)) is not None:
                await self.asend(end, self.plan(end, (), {}, {}), {"add_to_parent": False})
            raise
        return result

    @property
    def shows_messages(self) -> bool:
        """Whether functions of the program see each message while it is built."""
        own = self._app.own_messages
        return "message.publishing" in telemetry.listeners or (own is not None and own.customised)

    def encode(self, plan: Plan, lineage: Lineage | None = None) -> tuple[list[BuiltMessage], list[ChordStart]]:
        """The plan's messages as bytes, and the chords to start before they are published.

        Raises EncodeError, and CompositionError for a signature that contains itself.
        """
        app = self._app
        lineage = lineage if lineage is not None else app.lineage()
        try:
            if len(plan.calls) < PAUSE_FROM:
                messages = app.client.outgoing(plan.calls, lineage)
            else:
                messages = self._built_at_once(plan.calls, lineage)
        except (RecursionError, EncodeError) as exc:
            refuse_cycles(*((one.args, one.kwargs, one.options) for one in plan.calls))
            raise exc from exc.__cause__
        chords: list[ChordStart] = []
        if plan.chords and app.backend.unlocks_chords:
            return [*self._unlocking(plan, lineage), *messages], chords
        etas = _etas(messages) if plan.chords or plan.etas is not None else []
        if plan.etas is not None:
            plan.etas += [max(etas)] if etas else []
            etas = plan.etas
        if plan.chords:
            lives = app.backend.chord_lives
            if lives and etas:
                # The latest message starts last: the chord waits for it.
                lives += max(0, ceil((max(etas) - app.now()).total_seconds()))
            for chord in plan.chords:
                kept = chord.nested or app.backend.chords_ended_by_celery
                saved = app.backend.encode_group(chord.header()) if kept else None
                chords.append(ChordStart(chord.group_id, chord.size, lives, saved))
        return messages, chords

    def _unlocking(self, plan: Plan, lineage: Lineage) -> list[BuiltMessage]:
        # Imported late: most result backends count the parts of chords.
        from canvas.graph.chord_unlock import unlock_call

        app = self._app
        calls = [unlock_call(one, app.new_id, app.exec_options(one.body["task"])) for one in plan.chords]
        return app.client.outgoing(calls, lineage)

    def _built_at_once(self, calls: list[TaskCall], lineage: Lineage) -> list[BuiltMessage]:
        with gc_paused():
            return self._app.client.outgoing(calls, lineage)


def _etas(messages: list[BuiltMessage]) -> list[datetime]:
    return [instant(out.eta, "eta") for out in messages if out.eta is not None]
