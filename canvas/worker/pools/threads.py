"""A slot: takes a piece of work, sends it down the line, hands over what it came to; again."""

from collections.abc import Callable

from canvas.result import denied_join_result
from canvas.worker.consumer.loop import ConsumerLoop
from canvas.worker.pipeline.pipeline import TaskPipeline


class WorkerThread:
    """One place where a task can run. ``run`` returns when the exchange has no more work to give."""

    def __init__(self, exchange: ConsumerLoop, line: TaskPipeline, after: Callable[[], None] | None = None) -> None:
        """``after`` is called after each piece of work."""
        self._exchange = exchange
        self._line = line
        self._after = after

    def run(self) -> None:
        """Work until the loop has no more work to give."""
        with denied_join_result():
            self._work()

    def _work(self) -> None:
        exchange, line, place, after = self._exchange, self._line, id(self), self._after
        while (work := exchange.take()) is not None:
            exchange.begin(place)
            try:
                done = line.do(work)
            except BaseException as exc:  # noqa: BLE001 - the slot must outlive a fault in the line itself
                exchange.done(place, line.fault(work, exc))
            else:
                exchange.done(place, done)
            if after is not None:
                after()
