"""Messages that are leased as they are written."""

import json

import pytest

from canvas.drivers.ports.values import Lease
from canvas.drivers.redis import broker as redis_broker
from canvas.drivers.redis.broker import FULL_LIST
from canvas.drivers.redis.scripts.arguments import APART_FROM
from canvas.errors import OperationalError
from canvas.model.queue import Queue
from canvas.model.settlement import DelayedPublish, ResultWrite, Settlement
from canvas.testing.contract import envelope, eventually, ids, publish
from tests.support.lost_answers import answers_lost

SUCCESS = b'{"status":"SUCCESS"}'


@pytest.fixture(params=[None, SUCCESS, SUCCESS + b" " * APART_FROM], ids=["unrecorded", "recorded", "long record"])
def leased_with(driver, request):
    """What a settlement's own call leases, of what it publishes and of what waits."""

    def leased(publishes, limit=5, queues=("q",), expect=None):
        driver.broker.publish([publish("before", "elsewhere")])
        (held,) = driver.broker.lease(Lease("w", ["elsewhere"], 1))
        stores = [ResultWrite(f"of {held.tag}", request.param, 60, True)] if request.param else []
        settlement = Settlement(held, stores=stores, publishes=publishes)
        settled = driver.settler.settle([settlement], Lease("w", list(queues), limit, expect=expect))
        assert settled.verdicts[0].held
        assert not stores or driver.results.get([stores[0].task_id]) == [request.param]
        return settled.deliveries

    return leased


def test_a_successor_is_leased_as_it_is_sent_and_never_lies_in_its_queue(driver, redis_server, leased_with):
    sent = publish("a", priority=4)
    client = redis_server.client()
    with client.monitor() as watched:
        found = leased_with([sent])
        client.echo("that is all")
        seen = []
        while "that is all" not in (command := watched.next_command()["command"]):
            seen.append(command)
    assert [(one.queue, one.payload) for one in found] == [("q", sent.payload)]
    assert not [command for command in seen if command.startswith(("LPUSH q", "RPOP q"))]
    driver.broker.publish([publish("d")])
    found += driver.broker.lease(Lease("w", ["q"], 1))
    held = redis_server.client().hgetall("unacked")
    assert {one.tag.encode(): b'[%b,"","q"]' % one.payload for one in found} == held
    assert redis_server.client().zcard("unacked_index") == len(held) == 2
    assert [verdict.held for verdict in driver.settler.settle(list(map(Settlement, found))).verdicts] == [True] * 2
    assert not redis_server.client().hlen("unacked")


@pytest.mark.parametrize("queue", ["q", 'a "quoted" one', "größe"])
def test_a_leased_successor_is_restored_as_any(driver, redis_server, queue, leased_with):
    (found,) = leased_with([publish("a", queue)], queues=[queue])
    assert json.loads(redis_server.client().hget("unacked", found.tag))[1:] == ["", queue]
    assert driver.broker.release([found]) == 1
    (again,) = driver.broker.lease(Lease("w", [queue], 5))
    assert (ids([again]), again.queue) == (["a"], queue)


def test_a_successor_waits_behind_what_waits(driver, leased_with):
    driver.broker.publish([publish("first"), publish("urgent", priority=0), publish("late", priority=9)])
    assert ids(leased_with([publish("a")])) == ["first", "urgent", "a", "late"]


def test_several_successors_keep_their_order(leased_with):
    sent = [publish("low", priority=9), publish("a", priority=3), publish("high"), publish("b", priority=3)]
    assert ids(leased_with(sent)) == ["high", "a", "b", "low"]
    assert ids(leased_with([publish("low", priority=9), publish("high")], limit=1)) == ["high"]
    sent = [publish("q2", "q2"), publish("q1", "q1")]
    assert ids(leased_with(sent, limit=1, queues=["q1", "q2"])) == ["q1"]


def test_a_place_that_is_free_goes_to_who_waits_for_it_before_a_successor(driver):
    driver.broker.publish([publish("holds"), publish("waits")])
    holds, waits = driver.broker.lease(Lease("w", ["q"], 2))
    assert driver.coordination.acquire_permit("k", 1, holds)
    assert not driver.coordination.acquire_permit("k", 1, waits)
    settlement = Settlement(holds, publishes=[publish("next")], releases_permits=["k"])
    assert ids(driver.settler.settle([settlement], Lease("w", ["q"], 1)).deliveries) == ["waits"]


def test_a_successor_of_another_queue_or_beyond_the_limit_is_sent(driver, leased_with):
    assert leased_with([publish("x", "other")]) == []
    assert leased_with([publish("d")], limit=0) == []
    assert ids(driver.broker.lease(Lease("w", ["q", "other"], 5))) == ["d", "x"]


def test_a_successor_is_handed_over_while_the_server_works(driver, leased_with):
    expected = []
    (found,) = leased_with([publish("a")], expect=expected.append)
    assert expected == [found.payload] and expected[0] is found.payload
    assert leased_with([publish("b", "other")], expect=expected.append) == []
    assert ids(leased_with([publish("c"), publish("d")], expect=expected.append)) == ["c", "d"]
    assert len(expected) == 1


def test_a_successor_whose_task_has_a_record_already_is_sent_once(driver, redis_server):
    """A success that the settlement of an earlier run has stored stays."""
    driver.results.store([ResultWrite("x", SUCCESS, 60, True)])
    driver.broker.publish([publish("before", "elsewhere")])
    (held,) = driver.broker.lease(Lease("w", ["elsewhere"], 1))
    settlement = Settlement(held, stores=[ResultWrite("x", b'{"status":"SUCCESS","again":1}', 60, True)])
    settlement = settlement._replace(publishes=[publish("a")])
    settled = driver.settler.settle([settlement], Lease("w", ["q"], 5))
    assert (settled.verdicts[0].held, ids(settled.deliveries), settled.leased.passed_through) == (True, ["a"], 1)
    assert driver.results.get(["x"]) == [SUCCESS]
    settled = driver.settler.settle([settlement], Lease("w", ["q"], 5))
    assert (settled.verdicts[0].held, settled.deliveries) == (False, [])
    assert redis_server.client().hlen("unacked") == 1


def test_a_successor_that_its_queue_refuses_leaves_the_lease(driver, redis_server):
    redis_server.client().set("no-list", "text")
    driver.broker.publish([publish("before", "elsewhere")])
    (held,) = driver.broker.lease(Lease("w", ["elsewhere"], 1))
    settlement = Settlement(held, stores=[ResultWrite("x", SUCCESS, 60, True)], publishes=[publish("a", "no-list")])
    settled = driver.settler.settle([settlement], Lease("w", ["no-list"], 1))
    assert "WRONGTYPE" in settled.verdicts[0].refused
    assert redis_server.client().hlen("unacked") == 1


def test_a_message_that_is_leased_as_it_is_written_is_counted(driver):
    driver.broker.publish([publish("before", "elsewhere")])
    (held,) = driver.broker.lease(Lease("w", ["elsewhere"], 1))
    settled = driver.settler.settle([Settlement(held, publishes=[publish("a")])], Lease("w", ["q"], 5))
    assert (ids(settled.deliveries), settled.leased.passed_through) == (["a"], 1)
    driver.broker.publish([publish("b")])
    settled = driver.settler.settle([Settlement(settled.deliveries[0])], Lease("w", ["q"], 5))
    assert (ids(settled.deliveries), settled.leased.passed_through) == (["b"], 0)


def test_a_successor_whose_lease_was_not_heard_of_is_found_again(driver, redis_server):
    driver.broker.publish([publish("before", "elsewhere")])
    (held,) = driver.broker.lease(Lease("w", ["elsewhere"], 1))
    settlement = Settlement(held, publishes=[publish("a")])
    with answers_lost(driver), pytest.raises(OperationalError):
        driver.settler.settle([settlement], Lease("w", ["q"], 5))
    settled = driver.settler.settle([settlement], Lease("w", ["q"], 5))
    assert not settled.verdicts[0].held
    assert ids(settled.deliveries) == ["a"]
    assert redis_server.client().hlen("unacked") == 1


def test_a_deferred_message_that_its_queue_refuses_is_a_dead_letter(driver, redis_server):
    """Others that are due go where they belong."""
    client = redis_server.client()
    client.set("no-list", "text")
    deferrals = [DelayedPublish(1.0, publish("a", "no-list")), DelayedPublish(2.0, publish("b"))]
    driver.settler.settle([Settlement(None, fence="none", deferrals=deferrals)])
    assert driver.broker.enqueue_due(10) == 2
    assert ids(driver.broker.lease(Lease("w", ["q"], 5))) == ["b"]
    (letter,) = driver.admin.dead_letters("no-list")
    assert letter.queue == "no-list" and "WRONGTYPE" in letter.reason
    assert driver.broker.enqueue_due(10) == 0


def test_what_a_celery_worker_held_goes_back_by_its_exchange(driver, redis_server):
    driver.broker.declare([Queue("videos", "media", "video.#", "topic"), Queue("copies", "media", "video.#", "topic")])
    client = redis_server.client()
    for tag, exchange in ("known", "media"), ("unknown", "gone"):
        client.hset("unacked", tag, json.dumps([json.loads(envelope(tag)), exchange, "video.short"]))
        client.zadd("unacked_index", {tag: 1.0})
    driver.recovery.give_back_tags("", ["known", "unknown"])
    assert [client.llen(name) for name in ("videos", "copies", "video.short")] == [1, 1, 0]
    # Nobody knows where it belongs: it is kept.
    assert client.hkeys("unacked") == [b"unknown"]


@pytest.mark.parametrize("late", [True, False])
def test_many_that_are_due_at_once_come_in_parts(driver, redis_server, monkeypatch, late):
    """A list that is full takes a few of those that are late; those for other queues do not wait for it."""
    monkeypatch.setattr(redis_broker, "HELD_BACK_FOR", 60.0 if late else 1e12)
    others = [DelayedPublish(2.0, publish("other", "elsewhere"))]
    many = [DelayedPublish(1.0, publish(str(number))) for number in range(1_000)]
    driver.settler.settle([Settlement(None, fence="none", deferrals=many + others)])
    some, found = 10 if late else 0, [driver.broker.enqueue_due(1_000)]
    assert eventually(lambda: found.append(driver.broker.enqueue_due(1_000)) or driver.admin.queue_length("elsewhere"))
    assert sum(found) == 1 + FULL_LIST + some * len(found)
    assert driver.admin.queue_length("q") == FULL_LIST + some * len(found)
    driver.broker.lease(Lease("w", ["q"], 50 + some * len(found)))
    assert driver.broker.enqueue_due(30) == 30
    redis_server.client().hset("canvas:workers", mapping={"one": "[]", "two": "[]"})
    assert driver.broker.enqueue_due(1_000) == 2 * FULL_LIST - (FULL_LIST - 50 + 30) + some
