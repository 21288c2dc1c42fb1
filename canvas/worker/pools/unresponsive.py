"""Children that do not answer, start or end, because their task holds the interpreter: their parent finds out their
state, and kills them where it must."""

import time
from typing import Any

from canvas.app.application import Canvas
from canvas.drivers.stored_messages import task_id_of
from canvas.errors import BrokerError
from canvas.model.outcome import OrphanReason
from canvas.telemetry import emit
from canvas.worker.pools.child_channel import ask_all
from canvas.worker.pools.child_commands import ReportState
from canvas.worker.pools.children import ChildProcess, Children
from canvas.worker.pools.silent_child import running_tag, state_of_silent
from canvas.worker.stopping import LEAVES_WITHIN

_ANSWERED_WITHIN = 0.2
"""Seconds in which a child that runs a task reports its state; afterwards its parent finds the state out itself."""
_IDLE_ANSWERS_WITHIN = 3.0
"""The same for a child without a task: nothing holds its interpreter."""
_GRACE = 1.0
"""Seconds beyond a hard limit in which a child may end its task itself."""


class UnresponsiveChildren:
    """Reports the state of children that do not respond, ends their tasks, and kills them."""

    def __init__(self, app: Canvas, hostname: str, children: Children) -> None:
        self._app = app
        self._hostname = hostname
        self._children = children

    def states(self) -> list[dict[str, Any]]:
        """The state of each child. For one that does not answer, because its task holds the interpreter, this process
        looks itself; one that has not answered an earlier question yet is not asked again."""
        children = {one.pid: one for one in self._children}
        answering = {pid: one for pid, one in children.items() if not one.channel.silent}
        busy = {pid for pid, one in children.items() if one.row.active}
        found: dict[int, dict[str, Any]] = {}
        for running, within in ((True, _ANSWERED_WITHIN), (False, _IDLE_ANSWERS_WITHIN)):
            asked = {pid: one.channel for pid, one in answering.items() if (pid in busy) is running}
            found |= {pid: answer for pid, answer in ask_all(asked, ReportState(), within).items() if answer}
        for pid, answer in found.items():
            children[pid].totals = answer.get("total", {})
        for pid in children.keys() - found.keys():
            one = children[pid]
            try:
                state = state_of_silent(self._app, self._hostname, pid, one.worker, one.row)
            except BrokerError as exc:  # the states of the other children are known all the same
                emit("broker.unreachable", error=str(exc))
                continue
            found[pid] = {**state, "total": one.totals}
        return [found[pid] for pid in children if pid in found]

    def end_one(self, one: ChildProcess, ids: list[str]) -> dict[str, Any] | None:
        """Kill a child for one of these tasks."""
        recovery, tag = self._app.driver.recovery, self._tag(one)
        held = recovery.leased_message(tag) if tag else None
        task_id = task_id_of(self._app.driver.broker.codec, held) if held is not None else None
        if tag is None or task_id not in ids:
            return None
        return {"terminated": [task_id]} if self._kill(one, tag, OrphanReason("terminated")) else None

    def task_of(self, one: ChildProcess) -> str | None:
        """The name and id of the task that a child runs, or ran when it ended; None for no task, and for one whose
        message was acknowledged before it ran. Raises BrokerError."""
        tag = self._tag(one)
        held = self._app.driver.recovery.leased_message(tag) if tag else None
        if held is None:
            return None
        headers = self._app.driver.broker.codec.headers_of(held)
        return f"{headers.get('task')}[{headers.get('id')}]"

    def note_exit(self, one: ChildProcess, code: int) -> None:
        """Keep the exit code of a child as the reason why the task that it ran has no end, if that was acknowledged
        early; otherwise the task runs again. Raises BrokerError."""
        recovery, tag = self._app.driver.recovery, self._tag(one)
        if tag is not None and not one.killed and all(held.tag != tag for held in recovery.leases(one.worker)):
            recovery.orphan_lease(tag, OrphanReason("worker lost", code=code).text)

    def end_overdue(self) -> None:
        """Kill children whose task is over its hard limit, and that have not ended it themselves."""
        now = time.monotonic()
        for one in self._children:
            deadline, tag = one.row.deadline, self._tag(one)
            if deadline is not None and tag is not None and now > deadline + _GRACE and not one.killed:
                self._kill(one, tag, OrphanReason("time limit", one.row.limit))

    def end_unstarted(self, within: float) -> None:
        """Kill children that have not started within ``within`` seconds."""
        for one in self._children:
            if one.forked_at is None:
                continue
            waited = time.monotonic() - one.forked_at
            if one.row.up:
                one.forked_at = None
            elif waited > within and not one.killed:
                emit("worker.not_started", pid=one.pid, seconds=waited)
                one.kill()

    def kill_after_cold_stop(self, cold_at: float) -> None:
        """Kill children that have not ended some seconds after the cold stop at ``cold_at``."""
        if time.monotonic() - cold_at < self._app.conf.worker_soft_shutdown_timeout + LEAVES_WITHIN + _GRACE:
            return
        for one in self._children:
            if not one.killed:
                emit("worker.killing", pid=one.pid, why="the worker stops")
                one.kill()

    def _tag(self, one: ChildProcess) -> str | None:
        """The lease of the message that a child runs."""
        return running_tag(self._app.driver.recovery, one.worker, one.row)

    def _kill(self, one: ChildProcess, tag: str, reason: OrphanReason) -> bool:
        """Kill a child because of the task that it runs. False if the task has ended: then the child is not killed."""
        try:
            held = self._app.driver.recovery.orphan_lease(tag, reason.text)
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))
            return False
        if held:
            emit("worker.killing", pid=one.pid, why=reason.text)
            one.kill()
        return held
