"""How many commands, calls and keys a batch takes at Redis, and the order of its messages."""

import pytest

from canvas.drivers.ports.schedules import EntryWrite
from canvas.drivers.ports.values import Lease
from canvas.model.settlement import ChordStart, Part, ResultWrite, Settlement
from canvas.testing.contract import ids, publish


def commands_in(call, redis_server):
    """How many commands a script runs, by their names."""
    client = redis_server.client()
    client.config_resetstat()
    call()
    stats = client.info("commandstats")
    asked = {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_info", "cmdstat_config|resetstat"}
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items() if name not in asked}


def settlements_of(lease, parts, size=None):
    for number, delivery in enumerate(lease.deliveries):
        of_chord = [Part("g", str(number), number, b"[%d]" % number, b"end", 60, size)] if parts else []
        yield Settlement(delivery, stores=[ResultWrite(str(number), SUCCESS, 60, True)], parts=of_chord)


SUCCESS = b'{"status":"SUCCESS"}'


@pytest.mark.parametrize(
    ("parts", "size", "each"),
    [(False, None, 2), (True, None, 5), (True, 51, 2)],
    ids=["tasks", "parts of a chord", "parts of a run's join"],
)
def test_commands_of_a_batch(driver, redis_server, parts, size, each):
    """A batch shares all but what each task needs: its record, its announcement, its part of a chord."""
    count, lease = 50, Lease("w", ["q"], 50)
    if parts and size is None:
        driver.settler.publish_with_chords([ChordStart("g", count + 1, 60)], [])
    driver.broker.publish([publish(str(number)) for number in range(count)])
    settlements = list(settlements_of(driver.settler.settle([], lease).leased, parts, size))
    found = commands_in(lambda: driver.settler.settle(settlements, lease), redis_server)
    assert sum(found.values()) <= count * each + 30, found


def test_a_chord_whose_parts_are_refused_leaves_the_others_alone(driver, redis_server):
    """Its messages stay leased, and those of the other chord are settled."""
    lease, results = Lease("w", ["q"], 6), redis_server.client(1)
    driver.broker.publish([publish(str(number)) for number in range(6)])
    settlements = [
        one._replace(parts=[one.parts[0]._replace(group_id="gh"[place % 2])])
        for place, one in enumerate(settlements_of(driver.settler.settle([], lease).leased, True, 3))
    ]
    results.set("celery-taskset-meta-g.d", b"no set")
    verdicts = driver.settler.settle(settlements).verdicts
    assert [bool(verdict.refused) for verdict in verdicts] == [True, False] * 3
    (ready,) = [one for verdict in verdicts for one in verdict.ready]
    assert (ready.group_id, ready.parts) == ("h", [b"[1]", b"[3]", b"[5]"])
    results.delete("celery-taskset-meta-g.d", "celery-taskset-meta-g.j")
    verdicts = driver.settler.settle(settlements).verdicts
    assert [verdict.held for verdict in verdicts] == [True, False] * 3
    assert [one.parts for verdict in verdicts for one in verdict.ready] == [[b"[0]", b"[2]", b"[4]"]]


def test_long_records_are_passed_apart(driver, redis_server):
    """Each keeps its place, also where one has a failure before it, and where one is refused."""
    lease, results = Lease("w", ["q"], 5), redis_server.client(1)
    driver.broker.publish([publish(str(number)) for number in range(5)])
    records = [b'{"status":"SUCCESS","result":"%s"}' % (b"%d" % number * size) for number, size in enumerate(SIZES)]
    settlements = [
        settlement._replace(stores=[settlement.stores[0]._replace(payload=payload)])
        for settlement, payload in zip(
            settlements_of(driver.settler.settle([], lease).leased, False), records, strict=True
        )
    ]
    results.set("celery-task-meta-2", b'{"status":"FAILURE"}')
    results.lpush("celery-task-meta-4", b"no record")
    with redis_server.client().monitor() as monitor:
        settled = driver.settler.settle(settlements)
        call = next(said["command"] for said in monitor.listen() if said["command"].startswith("EVALSHA"))
    assert call.count(' {"status":"SUCCESS"') == 3
    assert [verdict.held for verdict in settled.verdicts] == [True, True, True, True, False]
    assert [results.get(f"celery-task-meta-{number}") for number in range(4)] == records[:4]
    assert driver.broker.link.command("HLEN", "unacked") == 1


SIZES = (10, 100_000, 50_000, 10, 70_000)


def test_commands_of_a_link(driver, redis_server):
    """It is settled and the next one leased in one call."""
    lease = Lease("w", ["q"], 1)
    driver.broker.publish([publish("a")])
    (settlement,) = settlements_of(driver.settler.settle([], lease).leased, False)
    settlement = settlement._replace(publishes=[publish("b")])
    found = commands_in(lambda: driver.settler.settle([settlement], lease), redis_server)
    assert sum(found.values()) <= 14, found


@pytest.mark.parametrize(("sent", "pops"), [([], 0), (["q1"], 2), (["q0", "q2"], 3)])
def test_a_lease_asks_no_further_than_the_last_list_with_messages(driver, redis_server, sent, pops):
    driver.broker.publish([publish(queue, queue=queue) for queue in sent])
    queues, leased = [f"q{number}" for number in range(50)], []
    found = commands_in(lambda: leased.extend(driver.broker.lease(Lease("w", queues, 9))), redis_server)
    assert (found.get("rpop", 0), found["exists"], ids(leased)) == (pops, 1, sent)


def test_messages_of_many_lists_go_in_one_call(driver, redis_server):
    driver.broker.publish([publish("first")])
    redis_server.client().config_resetstat()
    driver.broker.publish([publish(str(n), queue=f"q{n}", priority=n % 10) for n in range(50)])
    assert redis_server.client().info("commandstats")["cmdstat_evalsha"]["calls"] == 1


def test_what_is_sent_shares_few_guards(driver, redis_server):
    for name in "abc":
        driver.broker.publish([publish(name)])
    driver.settler.publish_with_chords([ChordStart("g", 1, 60)], [publish("d")])
    (guard,) = redis_server.client().keys("canvas:idempotency:*")
    assert 0 < redis_server.client().ttl(guard) <= 3600


def test_many_messages_of_many_lists_keep_their_order(driver):
    """Though they take several calls."""
    sent = [publish(f"{queue}{n}", queue=queue) for n in range(2_500) for queue in ("q", "r")]
    driver.broker.publish(sent)
    for queue in ("q", "r"):
        leased = driver.broker.lease(Lease("w", [queue], 9_999))
        assert ids(leased) == [f"{queue}{n}" for n in range(2_500)]


def test_the_messages_of_a_large_chord_keep_their_order(driver, redis_server):
    """Several calls carry them: a single one would block the server for long."""
    sent = [publish(str(number), ("q", "q2")[number % 2]) for number in range(4_500)]
    redis_server.client().config_resetstat()
    driver.settler.publish_with_chords([ChordStart("g", 4_500, 60)], sent)
    stats = redis_server.client().info("commandstats")
    calls = sum(stats[name]["calls"] for name in ("cmdstat_eval", "cmdstat_evalsha") if name in stats)
    assert 5 <= calls <= 7, "five, and one more for each script that the server does not have yet"
    assert ids(driver.broker.lease(Lease("w", ["q"], 4_500))) == [str(number) for number in range(0, 4_500, 2)]
    assert ids(driver.broker.lease(Lease("w", ["q2"], 4_500))) == [str(number) for number in range(1, 4_500, 2)]


def test_many_entries_of_a_schedule_are_read_in_pages(driver, redis_server):
    for number in range(1_500):
        assert driver.schedules.write(EntryWrite("s", f"entry{number:04}", 0, float(number) or None, b"", b"")).held
    found = []
    stats = commands_in(lambda: found.extend(driver.schedules.read("s")), redis_server)
    assert [(entry.name, entry.due) for entry in found] == [(f"entry{n:04}", float(n) or None) for n in range(1_500)]
    assert stats.get("hscan", 0) == stats.get("zmscore", 0) > 1
    assert set(stats) <= {"hscan", "zmscore"}
    # A look for due entries costs the same, however many there are.
    assert sum(commands_in(lambda: driver.schedules.due("s", 0), redis_server).values()) <= 3
