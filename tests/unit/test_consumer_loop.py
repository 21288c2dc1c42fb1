"""The two loops of a worker process, and the table of the states in which they make no round. No server takes part."""

import threading
import time
from dataclasses import dataclass, field

import pytest

from canvas import telemetry
from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.model.message import Publish
from canvas.model.settlement import Settlement
from canvas.testing.contract import eventually
from canvas.worker.consumer import repeated_calls
from canvas.worker.consumer.buffer import NoWork
from canvas.worker.consumer.loop import InlineLoop, ThreadedLoop
from canvas.worker.consumer.loop_parts import LoopParts
from canvas.worker.consumer.loop_sleep import MANY_SLOTS, ONE_SLOT, State
from canvas.worker.consumer.prefetch import PrefetchPolicy
from canvas.worker.consumer.wait import BrokerWait


@dataclass
class Progress:
    buffered: bool = False
    any_finished: bool = False
    half_full: bool = False
    running: dict = field(default_factory=dict)


NOTHING, MORE = Progress(), Progress(buffered=True)
HALF, HALF_AND_MORE = Progress(False, True, True), Progress(True, True, True)

ENDED_BY_END = [
    (MANY_SLOTS, State.SLOTS_BUSY, [NOTHING, MORE, HALF, HALF_AND_MORE]),
    (MANY_SLOTS, State.LINGERING, [NOTHING, HALF, HALF_AND_MORE]),
    (ONE_SLOT, State.LINGERING, [HALF_AND_MORE]),
    (ONE_SLOT, State.STANDING_BY, [MORE, HALF_AND_MORE]),
    (ONE_SLOT, State.IDLE, [MORE, HALF_AND_MORE]),
]


@pytest.mark.parametrize(("table", "state", "ended"), ENDED_BY_END)
def test_which_ends_of_tasks_end_a_state(table, state, ended):
    condition = table[state].ended_by_end
    assert [progress for progress in (NOTHING, MORE, HALF, HALF_AND_MORE) if condition(progress)] == ended


def test_the_start_of_a_task_ends_the_idle_state_alone():
    rows = [(state, row) for table in (MANY_SLOTS, ONE_SLOT) for state, row in table.items()]
    assert [state for state, row in rows if row.ended_by_start is not None] == [State.IDLE]


def test_the_thread_is_not_idle_while_a_task_runs():
    """A task may start after the thread has decided to be idle, and before it sleeps."""
    condition = ONE_SLOT[State.IDLE].left_out
    assert [condition(Progress()), condition(Progress(running={0: time.monotonic()}))] == [False, True]


@pytest.mark.parametrize("loop_class", [InlineLoop, ThreadedLoop])
def test_the_end_of_a_task_wakes_nobody_where_no_state_ends_with_it(driver, loop_class, monkeypatch):
    """With one slot and nothing leased the thread has nothing to do; else the table decides."""
    loop, called = loop_class(parts(driver, 1)), []
    monkeypatch.setattr(loop._sleep, "task_ends", lambda: called.append(True))
    loop.begin(0)
    loop.complete(0, None)
    assert len(called) == (loop_class is ThreadedLoop)
    loop.work.put(None)
    loop.begin(0)
    loop.complete(0, None)
    assert len(called) == 1 + (loop_class is ThreadedLoop)


@pytest.fixture
def driver():
    opened = open_driver("memory://", "memory://")
    yield opened
    opened.close()


@pytest.fixture
def rounds():
    found = []
    detach = telemetry.attach(lambda **facts: found.append(facts), "batch.settled")
    yield found
    detach()


def parts(driver, slots):
    policy = PrefetchPolicy(slots, 64, 0.005, 64)
    return LoopParts(driver, "w", ["q"], policy, lambda leased: None, {}, BrokerWait(driver.broker))


def send(driver, count):
    driver.broker.publish([Publish("", "q", 0, b"%d" % number) for number in range(count)])


def serve(loop, place, done):
    """The life of one slot."""
    while (work := loop.next_work()) is not NoWork.EVER:
        if work is NoWork.YET:
            loop.work_for_loop()
            continue
        loop.begin(place)
        done.append(work.payload)
        loop.complete(place, Settlement(work))


def test_an_inline_loop_asks_the_broker_in_work_for_loop_only(driver, rounds):
    send(driver, 1)
    loop = InlineLoop(parts(driver, 1))
    assert loop.next_work() is NoWork.YET
    assert rounds == []
    loop.work_for_loop()
    assert [facts["leased"] for facts in rounds] == [1]
    assert loop.next_work().payload == b"0"


def test_messages_that_a_late_request_leases_after_an_outage_are_given_back(driver, monkeypatch):
    """It was given up, and reaches the broker when the leases have been compared already."""
    monkeypatch.setattr(repeated_calls, "_COMPARED_AGAIN", (0.2, 0.4))
    loop = InlineLoop(parts(driver, 1))
    loop._batch.leases_uncertain = True
    loop.work_for_loop()
    send(driver, 1)
    assert len(driver.broker.lease(Lease("w", ["q"], 1))) == 1

    def work():
        loop.work_for_loop()
        return None if (found := loop.next_work()) is NoWork.YET else found

    assert eventually(work).payload == b"0"


def test_a_loop_whose_rounds_are_slow_leases_less_ahead(driver, rounds):
    """Messages that are sent meanwhile would wait behind what it holds, for as long as the rounds of that take."""
    send(driver, 2_000)
    settle = driver.settler.settle

    def slowly(*arguments):
        reply = settle(*arguments)
        time.sleep(0.001 * max(len(reply.verdicts), len(reply.deliveries)))
        return reply

    driver.settler.settle = slowly
    policy = PrefetchPolicy(1, 16, 0.02, 1_000)
    loop, done = InlineLoop(parts(driver, 1)._replace(policy=policy)), []
    served = threading.Thread(target=serve, args=(loop, 0, done))
    loop.start()
    served.start()
    eventually(lambda: len(done) >= 300)
    loop.stop()
    for thread in (served, loop):
        thread.join(10)
        assert not thread.is_alive()
    assert max(facts["leased"] for facts in rounds) <= 40


@pytest.mark.parametrize(("kind", "slots"), [(InlineLoop, 1), (ThreadedLoop, 3)])
def test_a_loop_hands_out_everything_once_and_settles_it(driver, rounds, kind, slots):
    send(driver, 200)
    loop, done = kind(parts(driver, slots)), []
    loop.start()
    serving = [threading.Thread(target=serve, args=(loop, place, done)) for place in range(slots)]
    for thread in serving:
        thread.start()
    eventually(lambda: len(done) == 200)
    loop.stop()
    for thread in (*serving, loop):
        thread.join(10)
        assert not thread.is_alive()
    assert sorted(done, key=int) == [b"%d" % number for number in range(200)]
    assert sum(facts["settled"] for facts in rounds) == 200
    assert {"passed_through", "chords_ended", "acked_ahead"} <= rounds[0].keys()
    assert driver.broker.lease(Lease("other", ["q"], 1)) == []


@pytest.mark.parametrize("kind", [InlineLoop, ThreadedLoop])
def test_a_loop_that_stops_returns_what_has_not_started(driver, kind):
    send(driver, 20)
    loop = kind(parts(driver, 1))
    loop.start()
    eventually(lambda: loop.work_for_loop() or not loop.work.empty())
    loop.stop()
    while (work := loop.next_work()) is not NoWork.EVER:
        assert work is NoWork.YET
    loop.join(10)
    assert len(driver.broker.lease(Lease("other", ["q"], 30))) == 20


def test_a_commit_waits_for_its_round(driver):
    send(driver, 2)
    loop = InlineLoop(parts(driver, 1))
    loop.work_for_loop()
    work = loop.next_work()
    loop.begin(0)
    assert loop.acknowledge(work)
    assert not loop.commit(Settlement(work))
