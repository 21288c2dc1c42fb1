"""Takes tasks that are sent to fanout exchanges, where the broker's queues get no copies of them."""

import threading
from contextlib import ExitStack, suppress

from canvas.app.application import Canvas
from canvas.drivers.ports.bus import Inbox
from canvas.errors import BrokerError
from canvas.execution.background import BackgroundService, Repeated
from canvas.model.message import Publish
from canvas.model.queue import Binding, Queue

_LOOK_EVERY = 2.0
_ENDED_WITHIN = 1.0


class FanoutQueues:
    """The queues that a node has for itself behind fanout exchanges, each filled with the tasks that arrive for it."""

    def __init__(self, app: Canvas) -> None:
        self._app = app
        self._subscriptions: dict[str, list[Subscription]] = {}

    def serve(self, queue: Queue, within: float) -> None:
        """Fill a queue from now on. Waits until tasks arrive, or ``within`` seconds."""
        if queue.name in self._subscriptions or self._app.driver.bus.fanout is None or not queue.is_fanout():
            return
        ways = [way for way in queue.ways() if way.exchange.type == "fanout"]
        started = self._subscriptions[queue.name] = [Subscription(self._app, queue.name, way) for way in ways]
        for one in started:
            one.service.start()
        for one in started:
            one.listening.wait(within)

    def drop(self, queue: str) -> None:
        """Fill a queue no more, and delete its messages."""
        ended = self._subscriptions.pop(queue, None)
        for one in ended or ():
            one.service.stop()
        for one in ended or ():
            one.service.stop(_ENDED_WITHIN + _LOOK_EVERY)
        if ended is not None:
            self._app.driver.admin.purge(queue)

    def stop(self) -> None:
        """Drop all queues."""
        with suppress(BrokerError):  # other workers delete them when they recover this one
            for queue in list(self._subscriptions):
                self.drop(queue)


class Subscription:
    """Moves the tasks of one fanout exchange into a queue, on a thread of its own."""

    def __init__(self, app: Canvas, queue: str, way: Binding) -> None:
        self._app = app
        self._queue = queue
        self._way = way
        self._held: bytes | None = None
        """A task that has arrived and is not in the queue yet."""
        self._inbox: Inbox | None = None
        self._open = ExitStack()
        self.listening = threading.Event()
        move = Repeated("fanout exchange", self._move, after_failure=self._unsubscribe)
        self.service = BackgroundService("fanout", move, last=self._unsubscribe)

    def _move(self) -> float:
        broker = self._app.driver.broker
        if self._held is None:
            self._held = self._subscribed().next(_LOOK_EVERY)
        if self._held is not None and not self.service.stopped:
            priority = broker.codec.priority_of(self._held)
            broker.publish([Publish("", self._queue, priority, self._held)])
            self._held = None
        return 0.0

    def _subscribed(self) -> Inbox:
        if self._inbox is None:
            fanout = self._app.driver.bus.fanout
            assert fanout is not None
            self._inbox = self._open.enter_context(fanout(self._way.exchange.name, self._way.routing_key))
            self.listening.set()
        return self._inbox

    def _unsubscribe(self) -> None:
        self._inbox = None
        with suppress(BrokerError):  # its connection is lost already
            self._open.close()
