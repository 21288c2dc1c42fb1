"""``app.clock``."""

from itertools import count

from canvas.app.application import Canvas


class Clock:
    """A logical clock of this process. The clock of a worker's events is in the worker."""

    def __init__(self, app: Canvas) -> None:
        self._next = count(1)
        self.value = 0

    def forward(self) -> int:
        self.value = next(self._next)
        return self.value

    def adjust(self, other: int) -> int:
        """Be later than ``other``."""
        self.value = max(self.value, other) + 1
        self._next = count(self.value + 1)
        return self.value
