"""Queues, exchanges, waiting for messages, delayed messages."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from canvas.drivers.ports import Driver
from canvas.model.message import Publish
from canvas.model.queue import Queue
from canvas.model.settlement import (
    DelayedPublish,
    Settlement,
)
from canvas.testing.contract.support import ContractSupport


class BrokerContract(ContractSupport):
    """Queues, exchanges, waiting for messages, delayed messages."""

    def test_messages_come_in_the_order_they_were_published(self, driver: Driver) -> None:
        driver.broker.publish([self.publish("a"), self.publish("b")])
        driver.broker.publish([self.publish("c")])
        assert self.ids(self._lease(driver)) == ["a", "b", "c"]

    def test_lease_takes_no_more_than_asked(self, driver: Driver) -> None:
        driver.broker.publish([self.publish(str(n)) for n in range(5)])
        assert self.ids(self._lease(driver, 2)) == ["0", "1"]
        assert self.ids(self._lease(driver, 9)) == ["2", "3", "4"]
        assert self._lease(driver) == []

    def test_priority_steps_come_before_queues(self, driver: Driver) -> None:
        sent = [
            self.publish("low", "q1", 9),
            self.publish("mid", "q1", 4),
            self.publish("high2", "q2", 0),
            self.publish("high1", "q1", 2),
        ]
        driver.broker.publish(sent)
        assert self.ids(self._lease(driver, 10, "q1", "q2")) == ["high1", "high2", "mid", "low"]

    def test_a_delivery_names_its_queue_and_carries_its_message(self, driver: Driver) -> None:
        sent = self.publish("a")
        driver.broker.publish([sent])
        delivery = self._lease(driver)[0]
        assert delivery.queue == "q"
        assert self.same(delivery.payload, sent.payload)
        assert delivery.tag.startswith("canvas:w1:")

    def test_tags_are_unique(self, driver: Driver) -> None:
        driver.broker.publish([self.publish() for _ in range(20)])
        tags = [d.tag for _ in range(4) for d in self._lease(driver, 5)]
        assert len(set(tags)) == 20

    def test_bytes_that_are_no_message_are_delivered_too(self, driver: Driver) -> None:
        driver.broker.publish([Publish("", "q", 0, b"\xff\x00 not json")])
        assert self._lease(driver)[0].payload == b"\xff\x00 not json"

    def test_length_and_purge(self, driver: Driver) -> None:
        driver.broker.publish([self.publish(), self.publish(priority=9), self.publish(queue="other")])
        assert driver.admin.queue_length("q") == 2
        assert driver.admin.purge("q") == 2
        assert (driver.admin.queue_length("q"), driver.admin.queue_length("other")) == (0, 1)

    def test_exchanges_route_by_their_bindings(self, driver: Driver) -> None:
        topic = Queue("all", "tx", "a.#", "topic")
        driver.broker.declare([Queue("one", "ex", "k1"), Queue("two", "ex", "k2"), topic])
        for exchange, key in (("ex", "k2"), ("tx", "a.b.c"), ("tx", "b"), ("nowhere", "k1")):
            driver.broker.publish([Publish(exchange, key, 0, self.envelope(f"{exchange} {key}"))])
        assert self.ids(self._lease(driver, 10, "one", "two", "all")) == ["ex k2", "tx a.b.c"]

    def test_a_message_has_its_queue_bound(self, driver: Driver) -> None:
        topic = Queue("videos", "media", "video.#", "topic")
        sent = self.publish("first")._replace(exchange="media", routing_key="video.mp4", queue=topic)
        driver.broker.publish([sent])
        driver.settler.settle([Settlement(None, publishes=[sent], deferrals=[DelayedPublish(1.0, sent)])])
        self._enqueue_due(driver, 1, 1)
        elsewhere = sent._replace(exchange="other", routing_key="video.mp4")
        driver.broker.publish([elsewhere, sent._replace(routing_key="audio.mp3")])
        assert self.ids(self._lease(driver, 10, "videos")) == ["first"] * 3

    def test_concurrent_leases_share_nothing(self, driver: Driver) -> None:
        driver.broker.publish([self.publish(str(n)) for n in range(200)])
        with ThreadPoolExecutor(8) as threads:
            taken = list(threads.map(lambda n: self.ids(self._lease(driver, 25, worker=f"w{n}")), range(8)))
        assert sorted(int(i) for some in taken for i in some) == list(range(200))

    def test_wait_ends_when_a_message_comes(self, driver: Driver) -> None:
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(driver.broker.wait, "w1", ["q"], 10)
            threading.Event().wait(0.05)
            driver.broker.publish([self.publish("a")])
            assert waiting.result(10) == 1
        assert self.ids(self._lease(driver)) == ["a"]

    def test_wait_finds_messages_that_are_there_already(self, driver: Driver) -> None:
        driver.broker.publish([self.publish("a", priority=9)])
        assert driver.broker.wait("w1", ["q"], 10) == 1
        assert self.ids(self._lease(driver)) == ["a"]

    def test_wait_ends_after_its_time(self, driver: Driver) -> None:
        assert driver.broker.wait("w1", ["q"], 0.05) == 0

    def test_interrupt_ends_the_wait_in_progress_and_the_next(self, driver: Driver) -> None:
        driver.broker.wake()
        assert driver.broker.wait("w1", ["q"], 10) == 1
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(driver.broker.wait, "w1", ["q"], 10)
            threading.Event().wait(0.05)
            driver.broker.wake()
            assert waiting.result(5) == 1

    def test_messages_that_a_wait_has_prefetched_can_be_released(self, driver: Driver) -> None:
        driver.broker.publish([self.publish("a")])
        assert driver.broker.wait("w1", ["q"], 10)
        driver.broker.release_prefetched("w1")
        assert self.ids(self._lease(driver, worker="w2")) == ["a"]

    def test_messages_that_a_dead_worker_has_prefetched_return(self, driver: Driver) -> None:
        driver.recovery.heartbeat("dead", ["q"], 60)
        driver.broker.publish([self.publish("a")])
        assert driver.broker.wait("dead", ["q"], 10)
        driver.recovery.recover_worker("dead")
        assert self.ids(self._lease(driver, worker="w2")) == ["a"]

    def test_a_deferred_message_comes_when_due(self, driver: Driver) -> None:
        deferrals = [
            DelayedPublish(time.time() - 1, self.publish("due")),
            DelayedPublish(time.time() + 60, self.publish("later")),
        ]
        driver.settler.settle([Settlement(None, deferrals=deferrals)])
        self._enqueue_due(driver, 10, 1)
        assert self.ids(self._lease(driver)) == ["due"]
        left = driver.broker.next_due()
        assert left is not None
        assert 50 < left <= 61

    def test_enqueue_due_moves_no_more_than_asked(self, driver: Driver) -> None:
        driver.settler.settle(
            [Settlement(None, deferrals=[DelayedPublish(1.0 + n, self.publish(str(n))) for n in range(3)])]
        )
        assert [driver.broker.enqueue_due(2), driver.broker.enqueue_due(2), driver.broker.enqueue_due(2)] == [2, 1, 0]
        assert driver.broker.next_due() is None
        assert self.ids(self._lease(driver)) == ["0", "1", "2"]

    def test_deferred_messages_of_a_queue_are_recalled(self, driver: Driver) -> None:
        later = [("a", "q"), ("b", "other"), ("c", "q"), ("d", "q")]
        deferrals = [
            DelayedPublish(time.time() + 60 + n, self.publish(name, queue)) for n, (name, queue) in enumerate(later)
        ]
        driver.settler.settle([Settlement(None, deferrals=deferrals)])
        assert [
            driver.admin.enqueue_delayed("q", 2),
            driver.admin.enqueue_delayed("q", 2),
            driver.admin.enqueue_delayed("q", 2),
        ] == [2, 1, 0]
        assert self.ids(self._lease(driver)) == ["a", "c", "d"]
        assert driver.admin.in_flight().delayed == 1
