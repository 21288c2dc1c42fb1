"""Message + outcome → settlement: what every end of a task does, decided before any of it is done.

One road for every end: record, successors, chord part, the rest of the chain, errbacks, and what becomes of the
message. Sources: semantics.md §8, §9, T1–T16; protocol.md §2.3.
"""

import os
from functools import partial
from typing import Any

from canvas.app.application import Canvas
from canvas.errors import BrokerError, CanvasError, Ignore, Reject, Retry, TaskRevokedError, TimeLimitExceeded
from canvas.execution.executor import traceback_text
from canvas.model import states
from canvas.model.ids import Lineage
from canvas.model.outcome import Failure, Ignored, Outcome, Rejected, ReplacedBy, Retried, Revoked, Success
from canvas.model.record import Record, in_tuple_form
from canvas.model.settlement import ResultWrite, Settlement, plain_success
from canvas.model.workflow_run import RUN_HEADER, NodeRef
from canvas.producer.outbox import ChordMembership, NodeEnd, Outbox, PartOrigin
from canvas.producer.send_errors import problem_of
from canvas.telemetry import emit
from canvas.worker.settlement.body_headers import body_of
from canvas.worker.settlement.callbacks import callback_groups
from canvas.worker.settlement.cascade import TerminalState, fail_remaining
from canvas.worker.settlement.chord import dispatch, dispatch_speculatively, foreseen
from canvas.worker.settlement.errbacks import run_errbacks
from canvas.worker.settlement.job import Job, Report
from canvas.worker.settlement.kept_chords import keeps
from canvas.worker.settlement.plain_nodes import NO_END, PlainEnds
from canvas.worker.settlement.result_error import place_in_result
from canvas.worker.settlement.speculation import SpeculativeJoins
from canvas.workflows.steps.engine import advance_all, is_recorded_later, start_in_place
from canvas.workflows.store import RunStore


class Settler:
    """Turns outcomes into settlements, for one app."""

    def __init__(self, app: Canvas, hostname: str, runs: RunStore) -> None:
        self._app = app
        self._runs = runs
        self._hostname = hostname
        self._plain_ends = PlainEnds(app, runs)
        self._speculative = SpeculativeJoins(partial(dispatch_speculatively, app, runs))

    def settle(self, done: Job, outcome: Outcome, report: Report) -> tuple[Settlement, Outcome]:
        """The settlement of one end, with what hooks send, and its outcome: a value that cannot be written or a
        successor that cannot be sent turns success into failure (semantics.md T4, T5). ``report``: see ``Report``."""
        if type(outcome) is Success and done.message.embed["chain"] is None and done.has_plain_success:
            settlement = self._settle_plain(done, outcome, report)
            if settlement is not None:
                return settlement, outcome
        return self._settle(done, outcome, report)

    def _settle(self, done: Job, outcome: Outcome, report: Report) -> tuple[Settlement, Outcome]:
        outbox = Outbox(self._app)
        try:
            if done.request.additions:
                self._chord_additions(done, outbox, outcome)
            for retry in done.request.retries_sent:
                self._send_again(done, outbox, retry)
            if isinstance(outcome, Success):
                self._success(done, outbox, outcome)
            else:
                self._continue(done, outbox, outcome)
            if outbox.deferrals:
                outbox.keeps = keeps(self._app, done.message, max(one.due for one in outbox.deferrals))
        except (CanvasError, TypeError, ValueError) as exc:
            outbox = Outbox(self._app)
            shown = place_in_result(done.message, self._app.backend.serializer, outcome, exc)
            outcome = Failure(shown, traceback_text(shown))
        if not isinstance(outcome, Success):
            self._end_dependents(done, outbox, outcome)
        if done.node is not None:
            self._end_node(done, done.node, outbox, outcome)
        if outbox.ends:
            advance_all(self._app, self._runs, outbox, done.message.id)
        if not done.reported:
            self._report(done, outbox, outcome, report)
        foreseeable = outbox.parts or outbox.mail
        speculative = foreseen(self._app, self._runs, self._speculative, done, outbox) if foreseeable else ()
        return outbox.settlement(done.delivery, done.fence, speculative), outcome

    def _settle_plain(self, done: Job, outcome: Success, report: Report) -> Settlement | None:
        """The settlement of a plain success; ``None`` for a value that cannot be written, for an extended record, and
        for a node whose end does more than to be an input of one other node."""
        if self._app.conf.result_extended:
            return None
        place, value = done.node, outcome.value
        try:
            end = NO_END if place is None else self._plain_ends.of(place, value, done.message.id)
            if end is None:
                return None
            stores = [] if done.ignores_result else [self._success_record(done, value, [], place is not None)]
        except (CanvasError, TypeError, ValueError):
            return None
        done.reported = True
        rejected = report(done, outcome)
        ends = self._speculative.ends_of(end.parts) if end.joins_task else ()
        if rejected is None and not done.request.retries_sent and not done.request.additions:
            return plain_success(done.delivery, done.fence, stores, end.parts, ends)
        outbox = Outbox(self._app)
        outbox.stores, outbox.parts = stores, list(end.parts)
        self._add_of_hooks(done, outbox, outcome, rejected)
        return outbox.settlement(done.delivery, done.fence, ends)

    def _report(self, done: Job, outbox: Outbox, outcome: Outcome, report: Report) -> None:
        """Report the end, then add what its hooks have sent."""
        request = done.request  # what it sent before is in the settlement already
        request.retries_sent, request.additions = [], []
        done.reported = True
        self._add_of_hooks(done, outbox, outcome, report(done, outcome))

    def _add_of_hooks(self, done: Job, outbox: Outbox, outcome: Outcome, rejected: Reject | None) -> None:
        """Add what the hooks of an end have sent; ``rejected``: the Reject that one of them raised."""
        request = done.request
        if rejected is not None and rejected.requeue:
            outbox.disposal = "requeue"
        if not request.retries_sent and not request.additions:
            return
        problem = problem_of(lambda: self._sent_by_hooks(done, outbox, outcome))
        if problem is not None:
            emit("hook.failed", hook="a", task=done.message.task, task_id=done.message.id, exc=problem)

    def _sent_by_hooks(self, done: Job, outbox: Outbox, outcome: Outcome) -> None:
        for retry in done.request.retries_sent:
            self._send_again(done, outbox, retry)
        self._chord_additions(done, outbox, outcome)

    def _end_dependents(self, done: Job, outbox: Outbox, outcome: Outcome) -> None:
        match outcome:
            case ReplacedBy() | Retried():
                return
            case Failure(exc, text):
                self._failure(done, outbox, states.FAILURE, exc, text)
                if done.fence == "lease" and not done.acks_failure(exc):
                    outbox.disposal = "dead_letter"
                    outbox.reason = f"{type(exc).__name__}: acks_on_failure is off"
            case Ignored():
                self._unrecorded(done, outbox, Ignore("the task raised Ignore"))
            case Rejected(reason, requeue):
                if requeue:
                    outbox.disposal = "redeliver" if isinstance(reason, TimeLimitExceeded) else "requeue"
                else:
                    outbox.disposal = "reject"
                    self._failure(done, outbox, states.FAILURE, Reject(reason, requeue), "")
            case Revoked(reason):
                self._failure(done, outbox, states.REVOKED, TaskRevokedError(reason), "", call_errbacks=False)

    def _end_node(self, done: Job, place: NodeRef, outbox: Outbox, outcome: Outcome) -> None:
        """Report the end to the run of which the task is a node."""
        match outcome:
            case Success(value):
                outbox.ends.append(NodeEnd(place, states.SUCCESS, in_tuple_form(value)))
            case Failure(exc):
                outbox.ends.append(NodeEnd(place, states.FAILURE, exc))
            case Ignored():
                self._store(done, outbox, self._record(done, states.IGNORED, None, None, []))
                outbox.ends.append(NodeEnd(place, states.FAILURE, Ignore("the task raised Ignore")))
            case Rejected(reason, False):
                outbox.ends.append(NodeEnd(place, states.FAILURE, Reject(reason, False)))
            case Revoked(reason):
                outbox.ends.append(NodeEnd(place, states.REVOKED, TaskRevokedError(reason)))

    def announce_start(self, done: Job) -> None:
        """Store STARTED, with the process that runs the task. Where the backend is unreachable, the task runs without
        it."""
        if done.ignores_result:
            return
        about = {"pid": os.getpid(), "hostname": self._hostname}
        try:
            self._app.backend.store_result(done.message.id, about, states.STARTED, request=done.request)
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))

    def _continue(self, done: Job, outbox: Outbox, outcome: Outcome) -> None:
        match outcome:
            case ReplacedBy(sig, workflow) if workflow is not None:
                start_in_place(self._app, self._runs, outbox, done.message, workflow, sig)
            case ReplacedBy(sig):
                outbox.send(sig, self._lineage(done))
            case Retried():
                self._retried(done, outbox, outcome)

    def _chord_additions(self, done: Job, outbox: Outbox, outcome: Outcome) -> None:
        """Send what the task adds to its chord; the chord waits for one part more for each (semantics.md T34)."""
        if isinstance(outcome, Rejected) and outcome.requeue:
            return
        outbox.extend_chords(done.request.additions, self._lineage(done), f"{done.message.id}:{done.request.retries}")

    def _success(self, done: Job, outbox: Outbox, outcome: Success) -> None:
        message, request = done.message, done.request
        sent, embed = request.children, message.embed
        children = [child.as_tuple() for child in sent] if sent else []
        for ready in request.ready_chords:
            outbox.absorb(dispatch(self._app, self._runs, ready))
        if embed["callbacks"] or embed["chain"]:
            children.extend(self._successors(done, outbox, outcome.value))
        if not done.ignores_result:
            self._store_success(done, outbox, outcome.value, children)
        if embed["chord"]:
            self._part(done, outbox, states.SUCCESS, outcome.value)

    def _store_success(self, done: Job, outbox: Outbox, value: Any, children: list[Any]) -> None:
        in_run = RUN_HEADER in done.message.headers
        if in_run and is_recorded_later(self._runs, done.node):
            return
        if self._app.conf.result_extended:
            outbox.record(self._record(done, states.SUCCESS, value, None, children), in_run)
        else:
            outbox.stores.append(self._success_record(done, value, children, in_run))

    def _success_record(self, done: Job, value: Any, children: list[Any], in_run: bool = False) -> ResultWrite:
        """The record of a success without extended fields."""
        app, message = self._app, done.message
        around: tuple[Any, ...] = (message.headers.get("group"), message.headers.get("parent_id"))
        if in_run:
            around += (done.date_start(app.clock_offset), True)
        return app.backend.success_of(message.id, value, children, *around)

    def _successors(self, done: Job, outbox: Outbox, value: Any) -> list[Any]:
        """Send callbacks, then the next step of the chain. Returns their results in tuple form."""
        embed, lineage = done.message.embed, self._lineage(done)
        callbacks, chain = embed["callbacks"], embed["chain"]
        groups = callback_groups(self._app, callbacks) if callbacks else []
        refs = [outbox.send(sig, lineage, (value,)) for sig in groups]
        if chain:
            refs.append(outbox.send(chain[-1], lineage, (value,), {"chain": chain[:-1]}))
        if done.task is not None and not done.task.trail:
            return []
        # Without a call for one task: each step of a chain passes.
        return [((ref.id, None), None) if ref.parent is None is ref.members else ref.as_tuple() for ref in refs if ref]

    def _failure(
        self, done: Job, outbox: Outbox, state: str, exc: BaseException, text: str, call_errbacks: bool = True
    ) -> None:
        task = done.task
        if not done.ignores_result or (task is not None and task.store_errors_even_if_ignored):
            children = [child.as_tuple() for child in done.request.children]
            self._store(done, outbox, self._record(done, state, exc, text or None, children))
        self._part(done, outbox, state, exc)
        self._end_rest_of_chain(done, outbox, state, exc, text)
        if call_errbacks:
            run_errbacks(self._app, outbox, done.message.embed["errbacks"], done.request, exc, text or None)

    def _unrecorded(self, done: Job, outbox: Outbox, exc: BaseException) -> None:
        """End the waits for a task that has no result."""
        self._part(done, outbox, states.FAILURE, exc)
        self._end_rest_of_chain(done, outbox, states.FAILURE, exc, "")

    def _retried(self, done: Job, outbox: Outbox, outcome: Retried) -> None:
        retry = outcome.retry
        self._send_again(done, outbox, retry)
        if not done.ignores_result:
            self._store(done, outbox, self._record(done, states.RETRY, retry.exc, outcome.traceback, []))

    def _send_again(self, done: Job, outbox: Outbox, retry: Retry) -> None:
        due = self._app.client.due(retry.sig.options)
        outbox.send(retry.sig, Lineage(done.request.root_id, done.request.id), due=due)

    def _end_rest_of_chain(self, done: Job, outbox: Outbox, state: str, exc: BaseException, text: str) -> None:
        chain = done.message.embed["chain"]
        if chain:
            fail_remaining(outbox, chain, TerminalState(state, exc, text or None, self._origin(done)))

    def _part(self, done: Job, outbox: Outbox, state: str, result: Any) -> None:
        body, group_id = body_of(self._app, done), done.message.headers.get("group")
        if body and group_id:
            place = ChordMembership(done.message.id, group_id, done.message.headers.get("group_index"), body)
            outbox.part(place, state, result, self._origin(done))

    def _origin(self, done: Job) -> PartOrigin:
        return PartOrigin(done.request.root_id, done.message.id)

    def _lineage(self, done: Job) -> Lineage:
        request = done.request
        inherit = self._app.conf.task_inherit_parent_priority
        return Lineage(request.root_id, request.id, request.properties.get("priority") if inherit else None)

    def _store(self, done: Job, outbox: Outbox, record: Record) -> None:
        """Store a record that is not a success, unless a success is stored that the driver cannot see."""
        backend, in_run = self._app.backend, RUN_HEADER in done.message.headers
        if record.status == states.REVOKED and is_recorded_later(self._runs, done.node):
            return
        if backend.hides_success and self._runs.persist(lambda: backend.has_succeeded(record.task_id)):
            return
        outbox.record(record, in_run)

    def _record(self, done: Job, state: str, result: Any, text: str | None, children: list[Any]) -> Record:
        headers = done.message.headers
        record = Record(done.message.id, state, result, text, children)
        record.group_id, record.parent_id = headers.get("group"), headers.get("parent_id")
        if state in states.READY_STATES:
            record.date_done = self._app.backend.date_done()
        if self._app.conf.result_extended:
            record.extend(done.request)
        if RUN_HEADER in headers and done.began is not None:
            record.extra["date_start"] = done.date_start(self._app.clock_offset)
        return record
