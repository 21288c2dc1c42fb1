"""A watch of one coroutine, fed through a queue of its event loop."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_LOOKS_FOR = 1.0
"""Seconds that the first ``next`` waits at least, for the records that are stored already."""


class AsyncQueueWatch:
    """The AsyncWatch of ``canvas.drivers.ports``."""

    def __init__(self, queue: "asyncio.Queue[tuple[str, bytes] | Exception | None]") -> None:
        """In the queue ``None`` comes once, after the records that were stored before; an exception is raised."""
        self._queue = queue
        self._looked = False
        self._dropped: set[str] = set()

    async def next(self, timeout: float | None) -> tuple[str, bytes] | None:
        """The next record; ``None`` after ``timeout`` seconds."""
        import asyncio

        now = asyncio.get_running_loop().time()
        until = None if timeout is None else now + timeout
        first = until if until is None or self._looked else max(until, now + _LOOKS_FOR)
        try:
            async with asyncio.timeout_at(first) as limit:
                while True:
                    found = await self._queue.get()
                    if found is None:
                        self._looked = True
                        limit.reschedule(until)
                        continue
                    if isinstance(found, Exception):
                        raise found
                    if found[0] not in self._dropped:
                        return found
        except TimeoutError:
            return None

    def drop(self, task_id: str) -> None:
        """Leave out further records of one id."""
        self._dropped.add(task_id)
