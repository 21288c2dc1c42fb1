"""A slot: takes a piece of work, sends it down the line, hands over what it came to; again."""

from collections.abc import Callable

from canvas.model.settlement import ChordDispatch, Settlement
from canvas.result import denied_join_result
from canvas.worker.consumer.loop import ConsumerLoop
from canvas.worker.pipeline.pipeline import TaskPipeline


class WorkerThread:
    """One place where a task can run. ``run`` returns when the exchange has no more work to give."""

    def __init__(self, exchange: ConsumerLoop, line: TaskPipeline, after: Callable[[], None] | None = None) -> None:
        """``after`` is called after each piece of work, before the exchange gets what it came to: where the process is
        to end then, the round that settles the work leases nothing more."""
        self._exchange = exchange
        self._line = line
        self._after = after

    def run(self) -> None:
        """Work until told to stop."""
        with denied_join_result():
            self._work()

    def _work(self) -> None:
        exchange, line, place, after = self._exchange, self._line, id(self), self._after
        while (work := exchange.take()) is not None:
            exchange.begin(place)
            try:
                done: Settlement | ChordDispatch | None = line.do(work)
            except BaseException as exc:  # noqa: BLE001 - the slot must outlive a fault in the line itself
                done = line.fault(work, exc)
            if after is not None:
                after()
            exchange.done(place, done)
