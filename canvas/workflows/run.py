"""A run of a workflow: find it, cancel it, resume it, run it again.

Modules that load networkx are imported where they are used: a worker that cancels a run needs no graph.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from canvas.caller_warnings import ends_in_caller
from canvas.config.sources import imported
from canvas.errors import RunLost
from canvas.model import states
from canvas.model.ids import Lineage
from canvas.model.record import Record
from canvas.model.run_index import CANCELLING, in_celery_form
from canvas.model.settlement import Settlement
from canvas.model.workflow_run import STAMP, NodeRef, RunNode, stamp_of
from canvas.producer.outbox import Outbox
from canvas.workflows.cancelling import cancel_runs, end_waits, is_ending, look_inside, open_nodes
from canvas.workflows.compose.other_names import refuse_other_names
from canvas.workflows.labels import labels_of
from canvas.workflows.progress.async_run import AsyncRun
from canvas.workflows.progress.celery_workers import nodes_of_celery
from canvas.workflows.resume import NOTHING, Again, RunAttempt, node_of_path, resume, run_again_from, without_expiry
from canvas.workflows.run_keys import check_same
from canvas.workflows.run_records import part_of_node, run_metadata
from canvas.workflows.services import WorkflowServices
from canvas.workflows.signals import pending_signals, send_signal
from canvas.workflows.steps.child_runs import child_before, refuse_inside
from canvas.workflows.steps.chord_callbacks import go_on_here

_log = logging.getLogger(__name__)


def in_this_process(function: str, *args: Any) -> Any:
    """Call a function of ``canvas.worker.in_process``, which runs workflows with the worker's code, in a room above."""
    return imported(f"canvas.worker.in_process:{function}")(*args)


@ends_in_caller("draw", "cancel", "signal", "child", "signals", "resume", "again", "retry")
class Run(AsyncRun["Run"]):
    """One run; ``app.workflow(id)`` finds it from anywhere."""

    @classmethod
    def begin(
        cls, app: WorkflowServices, about: dict[str, Any], nodes: list[RunNode], on_mismatch: str = "warn"
    ) -> Self:
        """Start a run of these nodes and send its first messages, or find the run that was started with the same key.

        ``on_mismatch``: as ``StartOptions.run_key_mismatch``."""
        run = cls(app, app.new_id(), about, 0, nodes)
        if "run_key" in about:
            return run.begin_once(on_mismatch)
        first = run.first_settlement()
        app.run_store.save(run.id, about, nodes)
        run.log_start()
        go_on_here(app, app.run_store, app.driver.settler.settle([first]).verdicts)
        return run

    def begin_once(self, on_mismatch: str) -> Self:
        """This run, or the run that was started with its key. If this process dies, a worker takes the first step."""
        app, attempt = self.app, self._attempt()
        first = attempt.first_step(app, self.nodes, {})
        start = attempt.engine(app, first).start_marker(self.about.get("timeout"))
        while (owner := app.run_store.save(self.id, self.about, self.nodes, start)) != self.id:
            try:
                known = self.find(app, owner)
            except RunLost:
                continue  # it has expired meanwhile
            check_same(owner, known.about, self.about, on_mismatch)
            return known
        self.log_start()
        go_on_here(app, app.run_store, [app.driver.settler.dispatch_chord(first.chord_dispatch(start.group_id))])
        return self

    def log_start(self) -> None:
        """Write the line of a new run into the log of the program that starts it."""
        facts = {"run_id": self.id, "workflow": self.about["name"]}
        _log.info("Workflow run %s[%s] started", self.about["name"], self.id, extra=facts)

    def first_settlement(self) -> Settlement:
        """The settlement that starts the run. The run's nodes have to be stored before it is committed."""
        return self._attempt().first_step(self.app, self.nodes, {}).settlement()

    @classmethod
    def launch(
        cls,
        app: WorkflowServices,
        about: dict[str, Any],
        nodes: list[RunNode],
        in_process: bool,
        on_mismatch: str = "warn",
        signals: Any = None,
    ) -> "Run":
        """``begin``, or with ``in_process`` a run that gets ``signals`` and has ended when this returns."""
        if not in_process:
            return cls.begin(app, about, nodes, on_mismatch)
        if "run_key" in about and app.conf.task_store_eager_result:
            owner = app.run_store.run_of_key(about["name"], about["run_key"])
            if owner is not None:
                known = cls.find(app, owner)
                check_same(owner, known.about, about, on_mismatch)
                return known
        here: Run = in_this_process("run_here", app, about, nodes, signals)
        return here

    @classmethod
    def find(cls, app: WorkflowServices, run: str) -> Self:
        """The run of ``app`` with the id ``run``. Raises RunLost."""
        try:
            about, attempt, nodes = app.run_store.definition(run)
        except RunLost as exc:
            if app.conf.task_always_eager and not app.conf.task_store_eager_result:
                exc.add_note("task_always_eager is on: a run is found by its id only with task_store_eager_result")
            raise
        return cls(app, run, about, attempt, nodes)

    def _attempt(self) -> RunAttempt:
        return RunAttempt(self.id, self.about, self.attempt)

    @property
    def labels(self) -> dict[str, Any]:
        """The labels that it was started with."""
        return labels_of(self.about)

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.name}>"

    def draw(self, form: str = "text") -> str:
        """A picture, coloured by state. ``form``: ``text``, ``mermaid``, ``dot`` or ``svg``."""
        from canvas.graph.pictures.drawing import draw_run

        return draw_run(self.nodes, {node.name: node.state for node in self.status().nodes}, form)

    def _repr_svg_(self) -> str:
        return self.draw("svg")

    def cancel(self, terminate: bool = False, signal: str = "SIGTERM") -> bool:
        """Start no more of its nodes, and with ``terminate`` end the running ones by ``signal``. Waiting tasks are
        REVOKED when a worker takes their messages. False, and nothing is done, if the run has ended, or only nodes of
        ``finally_`` are left: they run in any case. Safe to call again.
        """
        return self._cancel(terminate, signal)

    def _cancel(self, terminate: bool, signal: str = "SIGTERM", overdue: int | None = None) -> bool:
        """``overdue``: the attempt whose timeout has passed; no other one is cancelled."""
        *records, _ = found = self._look()
        if self._status(found).over or is_ending(self.nodes, records) or overdue not in (None, self.attempt):
            return False
        marks = ["cancelled", "overdue"] if overdue is not None and not self.about["cancelled"] else ["cancelled"]
        if not self.app.run_store.mark(self.id, self.attempt, *marks):
            return False
        by_celery = self._stop(terminate, signal)
        if nodes_of_celery(self.about, self.nodes, records) or by_celery:
            # Nothing starts its next nodes: an attempt that is cancelled from its start on ends it.
            self._begin_attempt(self._look(), failed=False, cancelled=True)
        return True

    def cancel_again(self) -> None:
        """Complete the cancellation of this run: runs inside of it may have started at that moment, and the process
        that cancelled it may have been killed. A run that is not being cancelled is left as it is. Raises RunLost,
        OperationalError."""
        if self._status(self._look()).state == CANCELLING and not in_celery_form(self.about):
            self._stop(self.app.run_store.is_overdue(self.id, self.attempt), "SIGTERM", again=True)

    def _stop(self, terminate: bool, signal: str, again: bool = False) -> bool:
        """Stop all tasks, waits and runs inside of a cancelled attempt. Returns whether Celery workers have taken a
        part of it. ``again``: of the runs inside, cancel only those that are not cancelled."""
        stamps = {STAMP: stamp_of(self.id, self.attempt)}
        self.app.control.revoke_by_stamped_headers(stamps, terminate=terminate, signal=signal)
        places = [(NodeRef(self.id, self.attempt, number), node) for number, node in enumerate(self.nodes)]
        end_waits(self.app, places)
        left = open_nodes(self.app, [place for place, _ in places], self.nodes, self._look()[:-1])
        inside = look_inside(self.app, left)
        cancel_runs(partial(Run.find, self.app), inside.runs, terminate, signal, again)
        return inside.by_celery

    @refuse_other_names("signal")
    def signal(self, name: str, payload: Any = None, key: str | None = None) -> None:
        """Give the next node that waits for the signal ``name`` a ``payload``; a signal that comes before its wait is
        kept with the run. A name for which no node waits is kept too, with a warning.

        ``key`` identifies the signal: the run takes each key of a name once, so that a call may be repeated.
        Raises CompositionError for a run that has ended, and for a payload that is not of the type that the node
        expects; RunLost for a run that has expired; EncodeError; OperationalError.
        """
        send_signal(self, name, payload, key)

    def child(self, name: str, item: int | None = None) -> "Run | None":
        """The run of a workflow in the place of the node ``name``, or of its item, round or page number ``item``,
        counted from 0; ``None`` if there is none (yet). Raises KeyError."""
        place = self._place(self._number(name))
        if item is not None:
            place = part_of_node(self.nodes[place.node].kind, place, item)
        child = child_before(self.app.run_store, place._replace(attempt=place.attempt + 1))
        return None if child is None else Run.find(self.app, child)

    def signals(self) -> dict[str, list[Any]]:
        """The payloads of signals that no node has taken, by the signal's name, in the order in which they came."""
        return pending_signals(self.app, self.id)

    @refuse_other_names("resume")
    def resume(self, force: bool = False) -> bool:
        """Run the nodes again that failed, and those that never ran; the results of all others are used as they are.
        Nodes that were compensated run again too, and the nodes that depend on them.

        False when there is nothing to do: the run has succeeded, has not ended, or another client has just resumed it.
        With ``force`` a run that has not ended is resumed, for a run whose next step is lost; False then also when it
        is failing at that moment. Its tasks that are still running have no further effect: neither their results nor a
        failure change the run. Raises CompositionError for a run in the place of another run's node.
        """
        refuse_inside(self.id, self.about)
        return self._take_step(lambda run: run._resume(force))

    def again(self, from_node: str) -> bool:
        """Run the node ``from_node`` again, and all nodes that depend on it; the results of the others are used as they
        are. Of a map all items run again, of a loop all rounds, and a workflow in the place of a node is started anew.
        Nodes that failed or never ran, and nodes that were compensated, run again as with ``resume``. A node of the run
        inside of a node is named by its path, such as ``"tenant/load"``; nothing else in there runs again.

        The run must have ended, also with success; False when it has not, or another client has just begun an attempt.
        Raises CompositionError for an unknown name, a run inside that has not ended, and a run in another run's node.
        """
        anew = run_again_from(self, from_node)
        return self._take_step(lambda run: run._again(anew))

    def _take_step(self, step: Callable[["Run"], bool]) -> bool:
        """Take a step that may begin an attempt of this run; under ``task_always_eager`` its tasks run here."""
        if not self.app.conf.task_always_eager:
            return step(self)
        return bool(in_this_process("begin_attempt_here", self, step))

    def _resume(self, force: bool) -> bool:
        found = self._look()
        status = self._status(found)
        if status.state == states.SUCCESS or not (force or status.over):
            return False
        return self._begin_attempt(found, failed=status.over)

    def _again(self, anew: Again) -> bool:
        found = self._look()
        status = self._status(found)
        return status.over and self._begin_attempt(found, status.state != states.SUCCESS, anew)

    def _begin_attempt(
        self, found: list[Record | None], failed: bool, anew: Again = NOTHING, cancelled: bool = False
    ) -> bool:
        """``failed``: the attempt before has ended without success; ``anew``: the nodes that run again in any case."""
        next_attempt = resume(self.app, self._attempt(), self.nodes, found[:-1], failed, anew, cancelled)
        if next_attempt is None:
            return False
        again, verdict = next_attempt
        go_on_here(self.app, self.app.run_store, [verdict])
        self.about, self.attempt = again.about, again.number
        return True

    def retry(self) -> "Run":
        """A new run of the same workflow, from its start."""
        about = run_metadata(self.name, self.nodes, self.app.now(), self.about["target"])
        about |= {name: self.about[name] for name in ("timeout", "labels") if name in self.about}
        return self._run_again(about, without_expiry(self.nodes, self.about.get("expires")))

    def _run_again(self, about: dict[str, Any], nodes: list[RunNode]) -> "Run":
        return Run.launch(self.app, about, nodes, self.app.conf.task_always_eager)


def resume_in_place(
    app: WorkflowServices, run: str, outcome: dict[str, Any], from_node: str | None = None, attempt: int | None = None
) -> None:
    """Resume a run in the place of a task. ``outcome``: the task that ends as the run does. ``from_node``: run that
    node again, and all that depend on it, unless an attempt has begun after ``attempt``. Raises RunLost."""
    found = Run.find(app, run)
    found.nodes[-1].details = {**found.nodes[-1].details, "outcome": outcome}
    if from_node is not None and found.attempt == attempt:
        found._again(node_of_path(found, from_node))
    elif found.status().state == states.SUCCESS:
        outbox = Outbox(app)
        outbox.send(outcome, Lineage(run))
        app.driver.settler.settle([outbox.settlement()])
    else:
        found._resume(force=True)


def end_overdue(app: WorkflowServices, run: str, attempt: int) -> str:
    """Cancel an attempt whose timeout has passed. Returns ``"cancelled"``, ``"had ended"`` or ``"forgotten"``, for the
    task's result."""
    try:
        found = Run.find(app, run)
    except RunLost:
        return "forgotten"
    if not found._cancel(terminate=True, overdue=attempt):
        return "had ended"
    return "cancelled"
