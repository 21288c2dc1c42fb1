"""A slot: repeatedly takes work, passes it through the pipeline, and hands the settlement to the consumer loop."""

from collections.abc import Callable

from canvas.execution.executor import close_loop
from canvas.result import denied_join_result
from canvas.worker.consumer.buffer import NoWork
from canvas.worker.consumer.loop import ConsumerLoop
from canvas.worker.pipeline.pipeline import TaskPipeline


class WorkerThread:
    """One slot. ``run`` returns when the loop has no more work to give."""

    def __init__(self, loop: ConsumerLoop, pipeline: TaskPipeline, after: Callable[[], None] | None = None) -> None:
        """``after`` is called each time a task or a chord's end is finished."""
        self._loop = loop
        self._pipeline = pipeline
        self._after = after

    def run(self) -> None:
        """Work until the loop has no more work to give."""
        try:
            with denied_join_result():
                self._work()
        finally:
            close_loop()

    def _work(self) -> None:
        loop, pipeline, slot, after = self._loop, self._pipeline, id(self), self._after
        while (work := loop.next_work()) is not NoWork.EVER:
            if work is NoWork.YET:
                loop.work_for_loop()
                continue
            loop.begin(slot)
            try:
                done = pipeline.do(work)
            except BaseException as exc:  # noqa: BLE001 - the slot must outlive a fault in the pipeline itself
                loop.complete(slot, pipeline.unrunnable.internal_error(work, exc))
            else:
                loop.complete(slot, done)
            if after is not None:
                after()
