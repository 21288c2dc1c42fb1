"""A watch of one coroutine, fed through a queue of its event loop."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class QueuedWatch:
    """The AsyncWatch of ``canvas.drivers.base``."""

    def __init__(self, queue: "asyncio.Queue[tuple[str, bytes]]") -> None:
        self._queue = queue
        self._dropped: set[str] = set()

    async def next(self, timeout: float | None) -> tuple[str, bytes] | None:
        """The next record; ``None`` after ``timeout`` seconds."""
        import asyncio

        while True:
            try:
                found = await asyncio.wait_for(self._queue.get(), timeout)
            except TimeoutError:
                return None
            if found[0] not in self._dropped:
                return found

    def drop(self, task_id: str) -> None:
        """Leave out what still comes for one id."""
        self._dropped.add(task_id)
