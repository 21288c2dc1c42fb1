"""A clock that tests move: a year of schedules runs in a second."""

from uuid import uuid4

from canvas.drivers.memory import open_memory


class ManualClock:
    """Stands still until ``wait`` or ``move``; unix time, seconds.

    A ``memory://`` store whose URL is ``url`` goes by it. With ``Service(app, monotonic=clock.time, wait=clock.wait)``
    beat does too::

        clock = ManualClock(start=1_750_000_000.0)
        app = Canvas("app", broker=clock.url, backend=clock.url, beat_schedule={...})
        service = Service(app, monotonic=clock.time, wait=clock.wait)
        while clock.time() < end:
            clock.wait(service.tick())
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self.url = f"memory://{uuid4()}"
        self._driver = open_memory(self.url, self.time)

    def time(self) -> float:
        """The time."""
        return self._now

    def wait(self, seconds: float) -> bool:
        """Move on by ``seconds`` at once. False, as of an event that was not set."""
        self.move(seconds)
        return False

    def move(self, seconds: float) -> None:
        """Move by ``seconds``, backwards too."""
        self._now += seconds
