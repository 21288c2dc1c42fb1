"""An app in memory with its beat, and a clock that the test moves."""

from datetime import UTC, datetime

from canvas import Canvas
from canvas.beat import Service
from canvas.drivers.ports.values import Lease
from canvas.testing.clock import ManualClock
from tests.support.messages import decode

START = datetime(2025, 3, 1, 10, 0, 30, tzinfo=UTC)


class Bench:
    """An app, its beat, and a clock."""

    def __init__(self, **settings):
        self.clock = ManualClock(START.timestamp())
        settings.setdefault("beat_max_loop_interval", 100_000_000)
        self.app = Canvas("bench", broker=self.clock.url, backend=self.clock.url, set_as_current=False, **settings)
        # A record that a worker of the test stores has to be read at the same time.
        self.add = self.app.task(lambda x, y: x + y, name="add")
        self.total = self.app.task(sum, name="total")
        self.service = self.beat()

    def beat(self):
        return Service(self.app, monotonic=self.clock.time, wait=self.clock.wait)

    def run(self, seconds, service=None):
        """Let time pass; when a message was sent, as (seconds since the start, its task's name)."""
        service, end, sent = service or self.service, self.clock.time() + seconds, []
        while True:
            wait = service.tick()
            sent += [(round(self.clock.time() - START.timestamp(), 3), one.task) for one in self.take()]
            if self.clock.time() + wait > end:
                self.clock.move(end - self.clock.time())
                return sent
            self.clock.move(wait)

    def take(self):
        """The messages in the queue, taken away."""
        deliveries = self.app.driver.broker.lease(Lease("w", ("celery",), 100_000))
        found = [decode(one.payload, accept=self.app.accept_content) for one in deliveries]
        return found

    def end(self, task_id, result=None):
        self.app.backend.store_result(task_id, result, "SUCCESS")

    def state(self, name):
        return next(one for one in self.app.schedule.list() if one.name == name).state
