"""The pipeline of tasks that run while their caller waits: no limits, no early acks, no other worker."""

import time
from typing import Any

from canvas.app.application import Canvas
from canvas.config.lifetimes import LASTING
from canvas.context import leave_request
from canvas.errors import NotRegistered
from canvas.execution.executor import execute
from canvas.model.message import Delivery, Message
from canvas.model.outcome import Outcome
from canvas.model.settlement import Fence, Settlement
from canvas.model.workflow_run import CANCEL, CANCEL_NODES, RESUME_RUN, RUN_OUTCOME
from canvas.primitives.mapping import YIELDED_PAGE
from canvas.task.task import Task
from canvas.telemetry import emit
from canvas.worker.consumer.revoked import Revocations
from canvas.worker.monitoring.shared_memory import SharedMemory
from canvas.worker.pipeline.active_tasks import ActiveTasks
from canvas.worker.pipeline.pipeline import TaskPipeline
from canvas.worker.pipeline.reports import TaskReports
from canvas.worker.pipeline.throttle import Throttle
from canvas.worker.pipeline.unrunnable import Unrunnable
from canvas.worker.settlement.job import Job
from canvas.workflows.store import call_once

_OF_RUNS = (CANCEL, CANCEL_NODES, RESUME_RUN, RUN_OUTCOME, YIELDED_PAGE)
"""Tasks that read and change runs."""


class _NoEarlyAcks:
    """The EarlyAcks of messages that cannot be lost."""

    def __init__(self) -> None:
        self.early_acked: set[str] = set()

    def acknowledge(self, delivery: Delivery) -> bool:
        return True


class InProcessPipeline(TaskPipeline):
    """The worker's pipeline for calls that the caller waits for."""

    def __init__(self, app: Canvas, revocations: Revocations) -> None:
        hostname = app.hostname
        active = ActiveTasks(hostname, SharedMemory().open_row())
        throttle = Throttle(app.driver, app.conf, hostname, call_once)
        runs, reports = app.open_run_store(call_once), TaskReports(hostname, "eager.finished", "eager.over", "")
        runs.lifetimes = LASTING
        super().__init__(app, hostname, _NoEarlyAcks(), None, revocations, active, throttle, runs)
        self.reports = reports
        self.unrunnable = _EagerUnrunnable(app, hostname, self.runs, self, self._early_acked)
        self._of_runs = {name: _bound_to(app, name) for name in _OF_RUNS}
        self.stores_result = False

    def run(self, delivery: Delivery) -> Settlement:
        self.stores_result = False
        job = self.admit(delivery)
        if isinstance(job, Settlement):
            return job
        # The message cannot be lost while the caller waits, so that an early ack would change nothing.
        job.fence = "lease"
        token = self.enter(job)
        try:
            return self.conclude_run(job, self.execute(job))
        finally:
            leave_request(token)

    def execute(self, job: Job) -> Outcome:
        """Run the job's task. A BaseException that is not an Exception, as KeyboardInterrupt, goes to the caller."""
        self.stores_result = bool(job.task.store_eager_result)
        emit("eager.started", message=job.message, hostname=self._hostname, task=job.task)
        job.began = time.time()
        return execute(job.task, job.request, job.message.args, job.message.kwargs)

    def new_job(self, delivery: Delivery, message: Message, fence: Fence) -> Job:
        job = super().new_job(delivery, message, fence)
        if message.task in self._of_runs:
            # The registered one would look for the run on the app's servers.
            job.task = self._of_runs[message.task]
        info = {**job.request.delivery_info, "is_eager": True}
        job.request.update(is_eager=True, delivery_info=info)
        return job


def _bound_to(app: Canvas, name: str) -> Task[Any]:
    """A copy of a registered task that is bound to ``app``."""
    registered = app.tasks[name]
    copy: Task[Any] = type(registered)()
    vars(copy).update(vars(registered), app=app)
    return copy


class _EagerUnrunnable(Unrunnable):
    def unregistered(self, job: Job) -> Settlement:
        """No other process could run it."""
        emit("task.unregistered", message=job.message, queue=job.delivery.queue, action="dead_letter")
        return self.dead_letter(job, NotRegistered(job.message.task), f"NotRegistered: {job.message.task}")
