"""What every driver must do, as tests. A driver's own test file subclasses this and provides ``driver``.

Waiting is always for a condition with a deadline; where time must pass, it is a short lifetime given to the driver.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from canvas.drivers.base import Binding, Driver, Lease, Results
from canvas.model.message import Delivery, Message, Publish
from canvas.model.record import Record
from canvas.model.settlement import (
    ChordDispatch,
    ChordStart,
    DelayedPublish,
    Fence,
    Keep,
    Part,
    ReadyChord,
    ResultWrite,
    Settlement,
    SettleResult,
    SpeculativeDispatch,
    UniqueLock,
)
from canvas.wire import task_message as wire
from canvas.wire.record import encode

_DEADLINE = 20.0


def envelope(task_id: str = "", queue: str = "q", priority: int = 0) -> bytes:
    """A small real message."""
    task_id = task_id or str(uuid4())
    message = Message("t.add", task_id, [1, 2], {}, headers={"task": "t.add", "id": task_id})
    info = {"exchange": "", "routing_key": queue}
    message.properties = {"correlation_id": task_id, "priority": priority, "delivery_info": info}
    return wire.encode(message, delivery_tag=str(uuid4()))


def publish(task_id: str = "", queue: str = "q", priority: int = 0) -> Publish:
    """That message on its way to its queue."""
    return Publish("", queue, priority, envelope(task_id, queue, priority))


def eventually(condition: Callable[[], Any], seconds: float = _DEADLINE) -> Any:
    """The first truthy value of ``condition``; AssertionError after so many seconds without one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"it did not become true in {seconds} s: {found!r}")


def ids(deliveries: list[Delivery]) -> list[str]:
    """The task ids in deliveries."""
    return [str(wire.peek_id(delivery.payload)) for delivery in deliveries]


def part(group: str, task: str, position: int | None) -> Part:
    """A chord part with a value of its own."""
    return Part(group, task, position, f"value of {task}".encode(), b"fire " + task.encode(), 60)


def firing(group: str, *publishes: Publish, failed: bool = False, parts: list[Part] | None = None) -> ChordDispatch:
    """The end of a chord."""
    return ChordDispatch(group, list(publishes), [], [], parts or [], [], failed)


class DriverContract:
    """Subclass it with a fixture ``driver`` that gives an empty :class:`Driver`."""

    def _lease(self, driver: Driver, limit: int = 10, *queues: str, worker: str = "w1") -> list[Delivery]:
        return driver.broker.lease(Lease(worker, queues or ("q",), limit))

    def _one(self, driver: Driver, **options: Any) -> Delivery:
        driver.broker.publish([publish(**options)])
        return self._lease(driver, 1)[0]

    def _settle(self, driver: Driver, *parts: Part, joins: list[ChordStart] | None = None) -> list[ReadyChord]:
        return driver.settler.settle([Settlement(None, joins=joins or [], parts=list(parts))]).verdicts[0].ready

    def _results(self, driver: Driver) -> Results:
        assert driver.results is not None
        return driver.results

    # -- runs of workflows

    def test_a_run_is_kept_and_listed(self, driver: Driver) -> None:
        results = self._results(driver)
        results.save_run("first", {"about": b"1", "attempt": b"0"}, 60, time.time() - 1)
        results.save_run("second", {"about": b"2", "attempt": b"0"}, 60, time.time())
        results.save_run("first", {"about": b"3"}, 60, None)
        assert results.read_run("first", ["about", "nothing", "attempt"]) == [b"3", None, b"0"]
        assert results.read_run("nobody", ["about"]) == [None]
        assert results.read_run("first", []) == []
        assert results.list_runs(10) == ["second", "first"]
        assert results.list_runs(1) == ["second"]

    def test_a_run_is_advanced_by_one_of_many_and_ready_to_start(self, driver: Driver) -> None:
        results = self._results(driver)
        results.save_run("run", {"about": b"1", "attempt": b"0"}, 60, time.time())
        start = ReadyChord("run.1.start", b"how", [], None)
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda n: results.begin_attempt("run", 0, {"about": b"2"}, 60, start), range(4)))
        assert sorted(told) == [False, False, False, True]
        assert results.read_run("run", ["about", "attempt"]) == [b"2", b"1"]
        assert driver.settler.stale_ready_chords(0) == [start]
        assert [driver.settler.dispatch_chord(firing("run.1.start", publish("begun"))).held for _ in range(2)] == [
            True,
            False,
        ]
        assert ids(self._lease(driver)) == ["begun"]
        assert driver.settler.stale_ready_chords(0) == []
        assert results.begin_attempt("run", 1, {"about": b"3"}, 60, None) is True
        assert results.begin_attempt("nobody", 0, {"about": b"4"}, 60, None) is False

    def test_chords_end_in_the_exchange_that_settles_and_leases(self, driver: Driver) -> None:
        delivery = self._one(driver, task_id="a")
        self._settle(driver, part("g", "a", 0), joins=[ChordStart("g", 1, 60), ChordStart("outer", 1, 60)])
        end = firing("g", publish("body"), parts=[part("outer", "g", 0)])
        settled = driver.settler.settle([Settlement(delivery)], Lease("w1", ("q",), 5), [end, end])
        assert [verdict.held for verdict in settled.fired] == [True, False]
        assert [ready.group_id for ready in settled.fired[0].ready] == ["outer"]
        assert [verdict.held for verdict in settled.verdicts] == [True]
        assert ids(settled.deliveries) == ["body"]
        assert driver.settler.settle([]).fired == []

    def test_parts_may_bring_their_number(self, driver: Driver) -> None:
        first, second = (part("sized", name, at)._replace(size=2) for at, name in enumerate("ab"))
        assert self._settle(driver, first) == []
        assert self._settle(driver, first) == []
        (ready,) = self._settle(driver, second)
        assert (ready.fire, ready.parts) == (b"fire b", [b"value of a", b"value of b"])
        assert driver.settler.dispatch_chord(firing("sized")).held
        assert self._settle(driver, second) == []

    def _foresee(self, driver: Driver, last: Part, *values: bytes, then: list[Part] | None = None) -> SettleResult:
        """What comes of a settlement that foresees the end of its chord, of these parts."""
        foreseen = [SpeculativeDispatch.of(firing(last.group_id, publish("body"), parts=then), values)]
        driver.broker.publish([publish(queue="done")])
        (delivery,) = self._lease(driver, 1, "done")
        return driver.settler.settle([Settlement(delivery, parts=[last], foreseen=foreseen)]).verdicts[0]

    def test_a_foreseen_end_comes_about_once_or_the_chord_is_handed_out(self, driver: Driver) -> None:
        first, last = (part("sized", name, at)._replace(size=2) for at, name in enumerate("ab"))
        self._settle(driver, first)
        outer = part("outer", "sized", 0)._replace(size=1)
        verdict = self._foresee(driver, last, first.value, last.value, then=[outer])
        if verdict.ended:
            assert (list(verdict.ended), [ready.group_id for ready in verdict.ready]) == (["sized"], ["outer"])
        else:
            assert [ready.group_id for ready in verdict.ready] == ["sized"]
            assert driver.settler.dispatch_chord(firing("sized", publish("body"))).held
        assert ids(self._lease(driver)) == ["body"]
        again = self._foresee(driver, last, first.value, last.value, then=[outer])
        assert (list(again.ended), again.ready, self._lease(driver)) == ([], [], [])
        assert not driver.settler.dispatch_chord(firing("sized")).held

    def test_an_end_that_foresaw_other_parts_does_not_come_about(self, driver: Driver) -> None:
        first, last = (part("sized", name, at)._replace(size=2) for at, name in enumerate("ab"))
        early = self._foresee(driver, first, first.value, last.value)
        assert (list(early.ended), early.ready) == ([], [])
        wrong = self._foresee(driver, last, b"another value", last.value)
        assert list(wrong.ended) == []
        assert [ready.parts for ready in wrong.ready] == [[first.value, last.value]]
        assert self._lease(driver) == []
        assert driver.settler.dispatch_chord(firing("sized")).held

    # -- dead letters

    def test_dead_letters_are_revived_or_dropped_once(self, driver: Driver) -> None:
        for name in ("a", "b"):
            delivery = self._one(driver, task_id=name)
            driver.settler.settle([Settlement(delivery, disposal="dead_letter", reason=f"no {name}")])
        assert driver.broker.dead_letter_count("q") == 2
        first, second = driver.broker.dead_letters("q")
        assert (first.reason, second.reason) == ("no a", "no b")
        assert [driver.broker.requeue_dead_letter("q", first, first.payload) for _ in range(2)] == [True, False]
        assert ids(self._lease(driver)) == ["a"]
        assert [driver.broker.delete_dead_letter("q", second) for _ in range(2)] == [True, False]
        assert driver.broker.dead_letters("q") == []
        assert driver.broker.dead_letter_count("q") == 0
        assert driver.broker.queue_length("q") == 0

    # -- remote control

    def test_broadcasts_reach_all_who_listen(self, driver: Driver) -> None:
        with driver.broker.subscribe("fan") as one, driver.broker.subscribe("fan") as two:
            driver.broker.broadcast("fan", b"to all")
            driver.broker.broadcast("other", b"to others")
            assert (one.next(5), two.next(5)) == (b"to all", b"to all")
            assert one.next(0.05) is None

    def test_replies_reach_only_who_asked(self, driver: Driver) -> None:
        with driver.broker.replies("reply.x", "one") as one, driver.broker.replies("reply.x", "two") as two:
            reply = envelope("r")
            driver.broker.reply("reply.x", "one", reply)
            assert one.next(5) == reply
            assert two.next(0.05) is None
        driver.broker.reply("reply.x", "one", envelope("nobody"))
        with driver.broker.replies("reply.x", "one") as again:
            assert again.next(0.05) is None

    # -- revocations

    def test_revocations_are_kept_for_their_time(self, driver: Driver) -> None:
        driver.broker.revoke(["id:a", "id:b"], 60)
        driver.broker.revoke(["id:gone"], 0.01)
        eventually(lambda: sorted(driver.broker.revoked()) == ["id:a", "id:b"])

    def test_a_lease_tells_that_something_was_revoked(self, driver: Driver) -> None:
        driver.broker.revoked()
        before = driver.broker.revision
        driver.broker.publish([publish("a"), publish("b")])
        self._lease(driver, 1)
        assert driver.broker.revision == before
        driver.broker.revoke(["id:b"], 60)
        self._lease(driver, 1)
        assert driver.broker.revision != before
        assert driver.broker.revoked() == ["id:b"]
        told = driver.broker.revision
        driver.broker.revoke(["id:b"], 60)
        driver.broker.revoked()
        assert driver.broker.revision == told

    # -- turns

    def test_turns_are_an_interval_apart(self, driver: Driver) -> None:
        broker = driver.broker
        assert broker.reserve_rate_slot("r", 0.5) == 0
        first, second = broker.reserve_rate_slot("r", 0.5), broker.reserve_rate_slot("r", 0.5)
        assert abs(second - first - 0.5) < 0.001
        assert broker.reserve_rate_slot("other", 0.5) == 0

    def test_a_place_is_one_message_s_until_it_is_settled(self, driver: Driver) -> None:
        broker = driver.broker
        broker.publish([publish("a"), publish("b"), publish("c")])
        a, b, c = self._lease(driver, 3)
        assert broker.acquire_permit("k", 1, a)
        assert broker.acquire_permit("k", 1, a)
        assert not broker.acquire_permit("k", 1, b)
        assert broker.acquire_permit("other", 1, c)
        assert not broker.acquire_permit("k", 1, b)
        assert self._lease(driver, 1) == []
        driver.settler.settle([Settlement(a, frees=["k"])])
        (again,) = self._lease(driver, 2)
        assert ids([again]) == ["b"]
        assert broker.acquire_permit("k", 1, again)

    def test_totals_of_what_is_in_no_queue(self, driver: Driver) -> None:
        broker = driver.broker
        broker.publish([publish("a"), publish("b"), publish("c")])
        a, b, c = self._lease(driver, 3)
        broker.acquire_permit("k", 1, a)
        broker.acquire_permit("k", 1, b)
        driver.settler.settle([Settlement(c, deferrals=[DelayedPublish(time.time() + 60, publish("later"))])])
        assert broker.in_flight() == (1, 1, 1)

    def test_places_of_the_dead_are_free(self, driver: Driver) -> None:
        broker = driver.broker
        broker.publish([publish("a"), publish("b")])
        a, b = self._lease(driver, 2)
        assert broker.acquire_permit("k", 1, a)
        assert not broker.acquire_permit("k", 1, b)
        assert broker.enqueue_blocked() == 0
        driver.settler.settle([Settlement(a)])
        assert broker.enqueue_blocked() == 1
        assert broker.enqueue_blocked() == 0
        (again,) = self._lease(driver, 2)
        assert broker.acquire_permit("k", 1, again)

    def test_who_was_acked_before_it_ran_keeps_its_place(self, driver: Driver) -> None:
        broker = driver.broker
        broker.publish([publish("a"), publish("b")])
        a, b = self._lease(driver, 2)
        assert broker.acquire_permit("k", 1, a)
        driver.settler.settle([Settlement(a, begins=True)])
        assert not broker.acquire_permit("k", 1, b)
        driver.settler.settle([Settlement(a, fence="begun", frees=["k"])])
        assert ids(self._lease(driver, 2)) == ["b"]

    def test_a_unique_message_is_sent_once_until_it_is_unlocked(self, driver: Driver) -> None:
        broker = driver.broker
        lock, other = UniqueLock("u", "a"), UniqueLock("u", "b")
        assert broker.publish_unique(publish("a"), lock, 60) is None
        assert broker.publish_unique(publish("b"), other, 60) == "a"
        assert broker.queue_length("q") == 1
        broker.release_lock(other)
        assert broker.publish_unique(publish("b"), other, 60) == "a"
        (a,) = self._lease(driver, 2)
        driver.settler.settle([Settlement(a, unlocks=[lock])])
        assert broker.publish_unique(publish("b"), other, 0.05) is None
        eventually(lambda: broker.publish_unique(publish("c"), UniqueLock("u", "c"), 60) is None)

    # -- queues

    def test_messages_come_in_the_order_they_were_published(self, driver: Driver) -> None:
        driver.broker.publish([publish("a"), publish("b")])
        driver.broker.publish([publish("c")])
        assert ids(self._lease(driver)) == ["a", "b", "c"]

    def test_lease_takes_no_more_than_asked(self, driver: Driver) -> None:
        driver.broker.publish([publish(str(n)) for n in range(5)])
        assert ids(self._lease(driver, 2)) == ["0", "1"]
        assert ids(self._lease(driver, 9)) == ["2", "3", "4"]
        assert self._lease(driver) == []

    def test_priority_steps_come_before_queues(self, driver: Driver) -> None:
        sent = [publish("low", "q1", 9), publish("mid", "q1", 4), publish("high2", "q2", 0), publish("high1", "q1", 2)]
        driver.broker.publish(sent)
        assert ids(self._lease(driver, 10, "q1", "q2")) == ["high1", "high2", "mid", "low"]

    def test_a_delivery_names_its_queue_and_carries_its_bytes(self, driver: Driver) -> None:
        sent = publish("a")
        driver.broker.publish([sent])
        delivery = self._lease(driver)[0]
        assert (delivery.queue, delivery.payload) == ("q", sent.payload)
        assert delivery.tag.startswith("canvas:w1:")

    def test_tags_are_unique(self, driver: Driver) -> None:
        driver.broker.publish([publish() for _ in range(20)])
        tags = [d.tag for _ in range(4) for d in self._lease(driver, 5)]
        assert len(set(tags)) == 20

    def test_bytes_that_are_no_message_are_delivered_too(self, driver: Driver) -> None:
        driver.broker.publish([Publish("", "q", 0, b"\xff\x00 not json")])
        assert self._lease(driver)[0].payload == b"\xff\x00 not json"

    def test_length_and_purge(self, driver: Driver) -> None:
        driver.broker.publish([publish(), publish(priority=9), publish(queue="other")])
        assert driver.broker.queue_length("q") == 2
        assert driver.broker.purge("q") == 2
        assert (driver.broker.queue_length("q"), driver.broker.queue_length("other")) == (0, 1)

    def test_exchanges_route_by_their_bindings(self, driver: Driver) -> None:
        topic = Binding("all", "tx", "a.#", "topic")
        driver.broker.declare([Binding("one", "ex", "k1"), Binding("two", "ex", "k2"), topic])
        for exchange, key in (("ex", "k2"), ("tx", "a.b.c"), ("tx", "b"), ("nowhere", "k1")):
            driver.broker.publish([Publish(exchange, key, 0, envelope(f"{exchange} {key}"))])
        assert ids(self._lease(driver, 10, "one", "two", "all")) == ["ex k2", "tx a.b.c"]

    def test_concurrent_leases_share_nothing(self, driver: Driver) -> None:
        driver.broker.publish([publish(str(n)) for n in range(200)])
        with ThreadPoolExecutor(8) as threads:
            taken = list(threads.map(lambda n: ids(self._lease(driver, 25, worker=f"w{n}")), range(8)))
        assert sorted(int(i) for some in taken for i in some) == list(range(200))

    # -- settlements

    def test_ack_ends_a_message(self, driver: Driver) -> None:
        delivery = self._one(driver)
        assert driver.settler.settle([Settlement(delivery)]).verdicts[0].held
        driver.broker.recover_worker("w1")
        assert driver.broker.queue_length("q") == 0

    def test_a_lost_lease_does_nothing_at_all(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery)])
        late = Settlement(delivery, stores=[ResultWrite("late", b"{}", 60, True)], parts=[part("g", "late", 0)])
        late.joins, late.publishes = [ChordStart("g", 1, 60)], [publish("late")]
        late.deferrals, late.disposal = [DelayedPublish(0.0, publish("late"))], "dead_letter"
        verdict = driver.settler.settle([late]).verdicts[0]
        assert (verdict.held, verdict.ready) == (False, [])
        assert self._results(driver).get(["late"]) == [None]
        assert driver.broker.enqueue_due(10) == driver.broker.queue_length("q") == 0
        assert driver.broker.dead_letters("q") == []

    def test_what_another_worker_has_settled_is_neither_stored_nor_counted_again(self, driver: Driver) -> None:
        results, delivery = self._results(driver), self._one(driver)
        results.start_chords([ChordStart("g", 1, 60)])
        driver.settler.settle([Settlement(delivery, begins=True)])
        driver.broker.recover_worker("w1")
        (orphan,) = driver.broker.claim_orphans()
        end = Settlement(orphan.delivery, fence="begun", stores=[ResultWrite("t", b'{"status": "FAILURE"}', 60, False)])
        assert driver.settler.settle([end]).verdicts[0].held
        late = Settlement(delivery, fence="begun", stores=[ResultWrite("t", b'{"status": "SUCCESS"}', 60, True)])
        late.joins, late.grow, late.parts = [ChordStart("g", 1, 60)], ["g"], [part("g", "t", 0)]
        verdict = driver.settler.settle([late]).verdicts[0]
        assert (verdict.held, verdict.ready) == (False, [])
        assert results.get(["t"]) == [b'{"status": "FAILURE"}']
        (ready,) = self._settle(driver, part("g", "other", 0))
        assert ready.parts == [b"value of other"]

    def test_settlements_of_one_delivery_in_one_call_happen_once(self, driver: Driver) -> None:
        for begun in (False, True):
            delivery, task_id = self._one(driver), f"begun {begun}"
            fence: Fence = "begun" if begun else "lease"
            if begun:
                driver.settler.settle([Settlement(delivery, begins=True)])
            first, second = (
                Settlement(delivery, fence, stores=[ResultWrite(task_id, end, 60, False)]) for end in (b"1", b"2")
            )
            assert [v.held for v in driver.settler.settle([first, second]).verdicts] == [True, False]
            assert self._results(driver).get([task_id]) == [b"1"]

    def test_an_early_ack_whose_lease_is_lost_stores_nothing(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.broker.release([delivery])
        begins = Settlement(delivery, begins=True, stores=[ResultWrite("t", b"STARTED", 60, False)])
        assert not driver.settler.settle([begins]).verdicts[0].held
        assert self._results(driver).get(["t"]) == [None]

    def test_an_early_ack_ends_the_message(self, driver: Driver) -> None:
        delivery = self._one(driver)
        assert driver.settler.settle([Settlement(delivery, begins=True)]).verdicts[0].held
        driver.broker.recover_dead_workers()
        assert driver.broker.queue_length("q") == 0
        # Asked again, because the answer was lost, it is the same worker's still.
        assert driver.settler.settle([Settlement(delivery, begins=True)]).verdicts[0].held
        assert driver.settler.settle([Settlement(delivery, fence="begun")]).verdicts[0].held
        assert not driver.settler.settle([Settlement(delivery, begins=True)]).verdicts[0].held

    def test_a_lease_that_went_back_cannot_be_acked_early(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.broker.release([delivery])
        assert not driver.settler.settle([Settlement(delivery, begins=True)]).verdicts[0].held

    def test_a_state_of_the_tasks_own_is_no_success(self, driver: Driver) -> None:
        results = driver.results
        assert results is not None
        own = b'{"status": "PROGRESS", "result": [{"status": "SUCCESS"}, {"status":"SUCCESS"}], "task_id": "t"}'
        end = b'{"status": "FAILURE", "result": null, "task_id": "t"}'
        for payload in (own, end):
            results.store([ResultWrite("t", payload, None, False)])
        assert results.get(["t"]) == [end]

    def test_the_settlement_after_an_early_ack_happens_once(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery, begins=True)])
        after = Settlement(delivery, fence="begun", publishes=[publish("next")])
        held = [driver.settler.settle([after]).verdicts[0].held for _ in range(2)]
        assert held == [True, False]
        assert ids(self._lease(driver)) == ["next"]

    def test_a_worker_given_up_for_dead_still_settles_what_it_has_acked(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery, begins=True)])
        driver.broker.recover_worker("w1")
        after = Settlement(delivery, fence="begun", publishes=[publish("next")])
        assert driver.settler.settle([after]).verdicts[0].held
        assert ids(self._lease(driver)) == ["next"]

    def test_what_a_dead_worker_had_begun_is_for_others_to_settle(self, driver: Driver) -> None:
        broker, delivery = driver.broker, self._one(driver)
        driver.settler.settle([Settlement(delivery, begins=True)])
        assert broker.claim_orphans() == []
        assert broker.leased_message(delivery.tag) == delivery.payload
        broker.recover_worker("w1")
        (orphan,) = broker.claim_orphans()
        assert (orphan.delivery.tag, orphan.delivery.payload, orphan.reason) == (delivery.tag, delivery.payload, "")
        assert broker.claim_orphans() == []
        after = Settlement(orphan.delivery, fence="begun", publishes=[publish("next")])
        assert [driver.settler.settle([after]).verdicts[0].held for _ in range(2)] == [True, False]

    def test_a_condemned_message_does_not_run_again(self, driver: Driver) -> None:
        broker, delivery = driver.broker, self._one(driver)
        assert broker.orphan_lease(delivery.tag, "terminated")
        assert broker.recover_worker("w1") == 0
        assert broker.queue_length("q") == 0
        (orphan,) = broker.claim_orphans()
        assert (orphan.delivery.payload, orphan.reason) == (delivery.payload, "terminated")
        assert driver.settler.settle([Settlement(orphan.delivery, fence="begun")]).verdicts[0].held
        assert not broker.orphan_lease(delivery.tag, "again")

    def test_without_a_fence_it_happens_anyway(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery)])
        assert driver.settler.settle([Settlement(delivery, fence="none", publishes=[publish("n")])]).verdicts[0].held
        assert ids(self._lease(driver)) == ["n"]

    def test_settling_and_leasing_in_one_exchange(self, driver: Driver) -> None:
        first = Settlement(self._one(driver, task_id="first"), publishes=[publish("second")])
        settled = driver.settler.settle([first], Lease("w1", ("q",), 5))
        assert settled.verdicts[0].held
        assert ids(settled.deliveries) == ["second"]

    def test_requeue_goes_to_the_end_marked_redelivered(self, driver: Driver) -> None:
        delivery = self._one(driver, task_id="again")
        driver.broker.publish([publish("other")])
        driver.settler.settle([Settlement(delivery, disposal="requeue")])
        first, second = self._lease(driver)
        assert ids([first, second]) == ["other", "again"]
        assert wire.headers_of(second.payload)["redelivered"] is True

    def test_dead_letters_keep_bytes_and_reason(self, driver: Driver) -> None:
        for reason in ("one", "two"):
            delivery = self._one(driver)
            driver.settler.settle([Settlement(delivery, disposal="dead_letter", reason=reason)])
        letters = driver.broker.dead_letters("q")
        assert [letter.reason for letter in letters] == ["one", "two"]
        assert letters[1].payload == delivery.payload
        assert abs(letters[1].time - time.time()) < 60
        assert driver.broker.queue_length("q") == 0

    def test_a_batch_settles_each_by_itself(self, driver: Driver) -> None:
        driver.broker.publish([publish(str(n)) for n in range(3)])
        held = self._lease(driver)
        driver.settler.settle([Settlement(held[1])])
        batch = [Settlement(d, stores=[ResultWrite(d.tag, b"x", 60, True)]) for d in held]
        assert [v.held for v in driver.settler.settle(batch).verdicts] == [True, False, True]
        stored = self._results(driver).get([d.tag for d in held])
        assert [record is not None for record in stored] == [True, False, True]

    def test_empty_calls(self, driver: Driver) -> None:
        driver.broker.publish([])
        assert driver.settler.settle([]).verdicts == []
        assert driver.broker.release([]) == 0
        assert self._results(driver).get([]) == []
        self._results(driver).store([])

    # -- giving back

    def test_give_back_keeps_the_order(self, driver: Driver) -> None:
        driver.broker.publish([publish(x) for x in "abc"])
        assert driver.broker.release(self._lease(driver, 2)) == 2
        assert ids(self._lease(driver)) == ["a", "b", "c"]

    def test_give_back_of_what_was_acked_ahead_of_its_turn(self, driver: Driver) -> None:
        delivery = self._one(driver)
        assert driver.settler.settle([Settlement(delivery, begins=True)]).verdicts[0].held
        assert driver.broker.queue_length("q") == 0
        assert driver.broker.release([delivery]) == 1
        assert driver.broker.queue_length("q") == 1
        again = Settlement(delivery, fence="begun")
        assert not driver.settler.settle([again]).verdicts[0].held

    def test_give_back_of_a_lost_lease_is_nothing(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery)])
        assert driver.broker.release([delivery]) == 0
        assert driver.broker.queue_length("q") == 0

    def test_reap_gives_back_what_the_dead_held(self, driver: Driver) -> None:
        assert driver.broker.heartbeat("dead", ["q"], 0.05) == (1, False)
        assert driver.broker.heartbeat("alive", ["q"], 60) == (2, False)
        assert driver.broker.heartbeat("alive", ["q"], 60) == (2, True)
        driver.broker.publish([publish("a"), publish("b")])
        self._lease(driver, 1, worker="dead")
        self._lease(driver, 1, worker="alive")
        assert eventually(driver.broker.recover_dead_workers) == 1
        back = self._lease(driver)
        assert ids(back) == ["a"]
        headers = wire.headers_of(back[0].payload)
        assert (headers["redelivered"], headers["canvas_delivery_count"]) == (True, 2)

    def test_a_count_that_is_none_keeps_nobody_from_giving_back(self, driver: Driver) -> None:
        strange_counts: list[Any] = ["many", -1, [], 1e400]
        for count in strange_counts:
            strange = wire.with_headers(envelope("a"), canvas_delivery_count=count)
            driver.broker.publish([Publish("", "q", 0, strange)])
            self._lease(driver, 1)
            assert driver.broker.recover_worker("w1") == 1
            (back,) = self._lease(driver, 1)
            assert wire.headers_of(back.payload)["canvas_delivery_count"] == 2
            driver.settler.settle([Settlement(back)])

    def test_what_was_only_held_beside_a_deadly_message_is_not_blamed(self, driver: Driver) -> None:
        broker = driver.broker
        broker.publish([publish("deadly"), publish("beside")])
        for _ in range(3):
            broker.heartbeat("w1", ["q"], 60)
            deadly, _ = self._lease(driver, 2)
            broker.mark_started(deadly)
            assert broker.recover_worker("w1") == 2
        back = self._lease(driver, 2)
        assert ids(back) == ["deadly", "beside"]
        assert [wire.headers_of(one.payload)["canvas_delivery_count"] for one in back] == [4, 2]

    def test_a_beat_keeps_a_worker_alive(self, driver: Driver) -> None:
        driver.broker.heartbeat("w1", ["q"], 60)
        delivery = self._one(driver)
        assert driver.broker.recover_dead_workers() == 0
        assert driver.settler.settle([Settlement(delivery)]).verdicts[0].held

    def test_starting_sets_chords_up_and_sends(self, driver: Driver) -> None:
        driver.settler.publish_with_chords([ChordStart("g", 1, 60)], [publish("a"), publish("b")])
        first, second = self._lease(driver, 2)
        assert ids([first, second]) == ["a", "b"]
        member = Part("g", "a", 0, b"value", b"fire", 60)
        (ready,) = driver.settler.settle([Settlement(first, parts=[member])]).verdicts[0].ready
        assert (ready.group_id, ready.parts) == ("g", [b"value"])
        driver.settler.publish_with_chords([], [publish("c")], delays=())
        assert ids(self._lease(driver)) == ["c"]

    def test_leases_that_only_the_broker_knows_of_are_given_back(self, driver: Driver) -> None:
        driver.broker.heartbeat("w1", ["q"], 60)
        driver.broker.publish([publish("a"), publish("b"), publish("c")])
        leased = self._lease(driver, 3)
        assert driver.broker.release_unknown("w1", {one.tag for one in leased}) == 0
        assert driver.broker.release_unknown("w1", {leased[1].tag}) == 2
        assert ids(self._lease(driver, 3)) == ["a", "c"]
        assert [v.held for v in driver.settler.settle([Settlement(leased[0]), Settlement(leased[1])]).verdicts] == [
            False,
            True,
        ]

    def test_leave_gives_back_without_counting(self, driver: Driver) -> None:
        driver.broker.heartbeat("w1", ["q"], 60)
        self._one(driver, task_id="a")
        driver.broker.unregister("w1")
        back = self._lease(driver)
        assert ids(back) == ["a"]
        assert "canvas_delivery_count" not in wire.headers_of(back[0].payload)

    # -- waiting

    def test_wait_ends_when_a_message_comes(self, driver: Driver) -> None:
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(driver.broker.wait, "w1", ["q"], 10)
            threading.Event().wait(0.05)
            driver.broker.publish([publish("a")])
            assert waiting.result(10) == 1
        assert ids(self._lease(driver)) == ["a"]

    def test_wait_sees_what_waits_already(self, driver: Driver) -> None:
        driver.broker.publish([publish("a", priority=9)])
        assert driver.broker.wait("w1", ["q"], 10) == 1
        assert ids(self._lease(driver)) == ["a"]

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

    def test_what_a_wait_moved_aside_can_be_returned(self, driver: Driver) -> None:
        driver.broker.publish([publish("a")])
        assert driver.broker.wait("w1", ["q"], 10)
        driver.broker.release_prefetched("w1")
        assert ids(self._lease(driver, worker="w2")) == ["a"]

    def test_what_a_dead_worker_moved_aside_comes_back(self, driver: Driver) -> None:
        driver.broker.heartbeat("dead", ["q"], 60)
        driver.broker.publish([publish("a")])
        assert driver.broker.wait("dead", ["q"], 10)
        driver.broker.recover_worker("dead")
        assert ids(self._lease(driver, worker="w2")) == ["a"]

    # -- deferrals

    def test_a_deferred_message_comes_when_due(self, driver: Driver) -> None:
        deferrals = [
            DelayedPublish(time.time() - 1, publish("due")),
            DelayedPublish(time.time() + 60, publish("later")),
        ]
        driver.settler.settle([Settlement(None, deferrals=deferrals)])
        assert driver.broker.enqueue_due(10) == 1
        assert ids(self._lease(driver)) == ["due"]
        left = driver.broker.next_due()
        assert left is not None
        assert 50 < left <= 61

    def test_promote_moves_no_more_than_asked(self, driver: Driver) -> None:
        driver.settler.settle(
            [Settlement(None, deferrals=[DelayedPublish(1.0 + n, publish(str(n))) for n in range(3)])]
        )
        assert [driver.broker.enqueue_due(2), driver.broker.enqueue_due(2), driver.broker.enqueue_due(2)] == [2, 1, 0]
        assert driver.broker.next_due() is None
        assert ids(self._lease(driver)) == ["0", "1", "2"]

    def test_deferred_messages_of_a_queue_are_recalled(self, driver: Driver) -> None:
        later = [("a", "q"), ("b", "other"), ("c", "q"), ("d", "q")]
        deferrals = [
            DelayedPublish(time.time() + 60 + n, publish(name, queue)) for n, (name, queue) in enumerate(later)
        ]
        driver.settler.settle([Settlement(None, deferrals=deferrals)])
        assert [
            driver.broker.enqueue_delayed("q", 2),
            driver.broker.enqueue_delayed("q", 2),
            driver.broker.enqueue_delayed("q", 2),
        ] == [2, 1, 0]
        assert ids(self._lease(driver)) == ["a", "c", "d"]
        assert driver.broker.in_flight().delayed == 1

    # -- records

    def test_records_are_kept_and_forgotten(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("a", b"\x00binary\xff", 60, True), ResultWrite("b", b"{}", None, False)])
        assert results.get(["b", "none", "a"]) == [b"{}", None, b"\x00binary\xff"]
        assert results.read_prefix(["b", "none", "a"], 3) == [b"{}", b"", b"\x00bi"]
        assert asyncio.run(results.aread_prefix(["a", "none"], 100)) == [b"\x00binary\xff", b""]
        assert results.read_prefix([], 3) == []
        results.forget(["a", "none"])
        assert results.get(["a"]) == [None]

    def test_a_success_is_never_overwritten(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("a", b'{"status": "SUCCESS", "n": 1}', 60, True)])
        results.store([ResultWrite("a", b'{"status": "FAILURE"}', 60, False)])
        assert results.get(["a"]) == [b'{"status": "SUCCESS", "n": 1}']
        results.store([ResultWrite("a", b'{"status": "SUCCESS", "n": 2}', 60, True)])
        assert results.get(["a"]) == [b'{"status": "SUCCESS", "n": 1}']

    def test_a_success_stays_though_its_bytes_do_not_show_it(self, driver: Driver) -> None:
        results = self._results(driver)
        record = Record("a", "SUCCESS", ["value"], None, [])
        failure = b'{"status": "FAILURE"}'
        hidden = [
            encode(record, compress="gzip"),
            encode(record, serializer="pickle"),
            b"whatever the driver makes of it",
        ]
        for payload in hidden:
            results.store([ResultWrite("a", payload, 60, True)])
            results.store([ResultWrite("a", failure, 60, False)])
            assert results.get(["a"]) == [payload]
            # Forgotten, it protects nothing that is stored under its id later.
            results.forget(["a"])
            results.store([ResultWrite("a", b"\x00 no success", 60, False)])
            results.store([ResultWrite("a", failure, 60, False)])
            assert results.get(["a"]) == [failure]
            results.forget(["a"])

    def test_records_of_a_run_expire_when_they_are_told_to(self, driver: Driver) -> None:
        results = self._results(driver)
        results.save_run("run", {"about": b"1", "attempt": b"0"}, 60, time.time())
        results.store(
            [ResultWrite("a", b"a", 60, True), ResultWrite("b", b"b", 60, True), ResultWrite("c", b"c", 1, True)]
        )
        results.expire_run("run", 60, ["c", "nothing"], 60)
        results.expire_run("run", 60, ["a"], 1)
        eventually(lambda: results.get(["a", "b", "c"]) == [None, b"b", b"c"])
        assert results.read_run("run", ["about"]) == [b"1"]

    def test_records_expire(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("a", b"x", 1, True)])
        assert results.get(["a"]) == [b"x"]
        eventually(lambda: results.get(["a"]) == [None])

    def test_groups_are_kept_and_deleted(self, driver: Driver) -> None:
        results = self._results(driver)
        results.save_group("g", b"structure", 60)
        assert results.get_group("g") == b"structure"
        results.delete_group("g")
        assert results.get_group("g") is None

    def test_watch_gives_what_was_stored_before_and_after(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("before", b"1", 60, True)])
        with results.watch(["before", "after"]) as watch:
            assert watch.next(5) == ("before", b"1")
            results.store([ResultWrite("other", b"x", 60, True), ResultWrite("after", b"2", 60, True)])
            assert watch.next(5) == ("after", b"2")
            assert watch.next(0.05) is None

    def test_watch_gives_every_state(self, driver: Driver) -> None:
        results = self._results(driver)
        states = [b"STARTED", b"RETRY", b"DONE"]
        with results.watch(["a"]) as watch:
            for state in states:
                results.store([ResultWrite("a", state, 60, False)])
            assert [watch.next(5) for _ in states] == [("a", state) for state in states]

    def test_watch_drops_ids(self, driver: Driver) -> None:
        results = self._results(driver)
        with results.watch(["a", "b"]) as watch:
            watch.drop("a")
            results.store([ResultWrite("a", b"1", 60, True), ResultWrite("b", b"2", 60, True)])
            assert watch.next(5) == ("b", b"2")

    async def test_awatch_gives_what_was_stored_before_and_after(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("before", b"1", 60, True)])
        async with results.awatch(["before", "after"]) as watch:
            assert await watch.next(5) == ("before", b"1")
            results.store([ResultWrite("after", b"2", 60, True)])
            assert await watch.next(5) == ("after", b"2")
            assert await watch.next(0.05) is None
        assert await results.aget(["after"]) == [b"2"]

    # -- chords

    def test_the_last_part_makes_a_chord_ready_once(self, driver: Driver) -> None:
        self._results(driver).start_chords([ChordStart("g", 3, 60)])
        parts = [part("g", "b", 1), part("g", "c", 2), part("g", "a", 0), part("g", "a", 0)]
        found = [self._settle(driver, one) for one in parts]
        assert [len(ready) for ready in found] == [0, 0, 1, 0]
        ready = found[2][0]
        assert (ready.group_id, ready.fire, ready.structure) == ("g", b"fire a", None)
        assert ready.parts == [b"value of a", b"value of b", b"value of c"]

    def test_a_part_is_counted_once(self, driver: Driver) -> None:
        self._results(driver).start_chords([ChordStart("g", 2, 60)])
        for _ in range(3):
            assert self._settle(driver, part("g", "a", 0)) == []
        assert self._settle(driver, part("g", "b", 1))

    def test_parts_may_come_before_the_size(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0))
        self._results(driver).start_chords([ChordStart("g", 2, 60)])
        assert self._settle(driver, part("g", "b", 1))

    def test_a_grown_chord_waits_for_more(self, driver: Driver) -> None:
        self._results(driver).start_chords([ChordStart("g", 1, 60)], ["g"])
        assert not self._settle(driver, part("g", "a", 0))
        assert self._settle(driver, part("g", "b", None))

    def test_one_task_in_two_places_is_two_parts(self, driver: Driver) -> None:
        value = b'[1, "a", "SUCCESS", 7]'
        twice = [Part("g", "a", place, value, b"fire", 60) for place in (0, 1)]
        assert not self._settle(driver, twice[0], joins=[ChordStart("g", 2, 60)])
        ready = self._settle(driver, twice[1])
        assert [one.strip() for one in ready[0].parts] == [value, value]

    def test_a_saved_structure_comes_with_the_ready_chord(self, driver: Driver) -> None:
        ready = self._settle(driver, part("g", "a", 0), joins=[ChordStart("g", 1, 60, b"structure")])
        assert ready[0].structure == b"structure"

    def test_exactly_one_of_many_fires(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0), joins=[ChordStart("g", 1, 60)])
        with ThreadPoolExecutor(8) as threads:
            held = list(
                threads.map(lambda _: driver.settler.dispatch_chord(firing("g", publish("body"))).held, range(16))
            )
        assert held.count(True) == 1
        assert ids(self._lease(driver)) == ["body"]

    def test_only_who_ends_a_chord_stores_how(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0), joins=[ChordStart("g", 1, 60)])
        assert driver.settler.dispatch_chord(firing("g", failed=True)).held
        late = firing("g", publish("body"), failed=True, parts=[part("outer", "g", 0)._replace(size=1)])
        late = late._replace(stores=[ResultWrite("body", b"{}", 60, False)], joins=[ChordStart("other", 1, 60)])
        assert driver.settler.dispatch_chord(late) == SettleResult(False, [])
        assert (self._results(driver).get(["body"]), self._lease(driver)) == ([None], [])

    def test_chords_may_be_kept_for_longer(self, driver: Driver) -> None:
        self._results(driver).start_chords([ChordStart("g", 2, 1)])
        driver.settler.settle([Settlement(None, fence="none", keeps=[Keep("g", 60), Keep("nothing", 60)])])
        assert self._settle(driver, part("g", "a", 0)) == []
        driver.settler.renew(0.01)
        assert [ready.lost for ready in self._settle(driver, part("g", "b", 1))] == [False]

    def test_after_firing_late_parts_are_nothing(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0), joins=[ChordStart("g", 1, 60)])
        driver.settler.dispatch_chord(firing("g"))
        assert self._settle(driver, part("g", "a", 0)) == []
        assert driver.settler.stale_ready_chords(0) == []

    def test_a_ready_chord_that_nobody_fires_is_found(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0), joins=[ChordStart("g", 1, 60)])
        assert driver.settler.stale_ready_chords(60) == []
        found = eventually(lambda: driver.settler.stale_ready_chords(0))
        assert [(r.group_id, r.fire, r.parts) for r in found] == [("g", b"fire a", [b"value of a"])]
        assert driver.settler.dispatch_chord(firing("g", publish("body"))).held
        assert driver.settler.stale_ready_chords(0) == []

    def test_a_failed_chords_end_may_complete_the_outer_one(self, driver: Driver) -> None:
        self._settle(driver, part("inner", "a", 0), joins=[ChordStart("outer", 1, 60), ChordStart("inner", 1, 60)])
        verdict = driver.settler.dispatch_chord(firing("inner", failed=True, parts=[part("outer", "body", 0)]))
        assert verdict.held
        assert [ready.group_id for ready in verdict.ready] == ["outer"]
