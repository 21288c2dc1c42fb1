"""Records as they are stored: a driver's watch, with each value decoded."""

from collections.abc import Callable

from canvas.drivers.ports.results import AsyncWatch, Watch
from canvas.model.record import Record


class RecordWatch:
    """Records as they are stored, of the ids asked for."""

    def __init__(self, watch: Watch, decode: Callable[[bytes], Record]) -> None:
        self._watch = watch
        self._decode = decode
        self.drop = watch.drop

    def next(self, timeout: float | None) -> tuple[str, Record] | None:
        """The next ``(task_id, record)``; ``None`` after ``timeout`` seconds without one."""
        found = self._watch.next(timeout)
        return None if found is None else (found[0], self._decode(found[1]))


class AsyncRecordWatch:
    """``RecordWatch`` on an event loop."""

    def __init__(self, watch: AsyncWatch, decode: Callable[[bytes], Record]) -> None:
        self._watch = watch
        self._decode = decode
        self.drop = watch.drop

    async def next(self, timeout: float | None) -> tuple[str, Record] | None:
        found = await self._watch.next(timeout)
        return None if found is None else (found[0], self._decode(found[1]))
