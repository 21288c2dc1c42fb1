"""Keys of chords in Redis: who shortens what they live for, and who notes that they live."""

import celery
import pytest

from canvas.config.lifetimes import ABANDONED_AFTER, alive_for, longer
from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.model.settlement import ChordStart, Keep, ResultWrite, Settlement
from canvas.testing.contract import chord_end, eventually, part, publish
from canvas.worker.settlement.kept_chords import chords_in
from tests.contract.test_redis_beside_celery import Request
from tests.support.redis_server import RedisServer

BASE = "celery-taskset-meta-g"
FAR = 3600


class Opened:
    """A driver, and clients of where it keeps results and which chords live."""

    def __init__(self, driver, results, registry):
        self.broker, self.results, self.settler = driver.broker, driver.results, driver.settler
        self.at_results, self.at_registry = results, registry


@pytest.fixture(params=["one server", "two servers"])
def driver(request, redis_server, redis_url, result_url):
    with RedisServer() as other:
        apart = request.param == "two servers"
        opened = open_driver(redis_url, other.url(0) if apart else result_url)
        opened.recovery.heartbeat("w", ["q"], 60)
        clients = (other.client(0), other.client(0)) if apart else (redis_server.client(1), redis_server.client(0))
        yield Opened(opened, *clients)
        opened.broker.close()
        opened.results.close()


def settle(driver, *parts, **effects):
    settlement = Settlement(None, fence="none", parts=list(parts), **effects)
    return [ready for verdict in driver.settler.settle([settlement]).verdicts for ready in verdict.ready]


def lasting(name, **fields):
    return part("g", name, None)._replace(expires=FAR, **fields)


def renew(driver):
    driver.at_registry.delete("canvas:alive:round")
    return driver.settler.renew(60)


def registered(driver):
    return {name.decode() for name in driver.at_registry.zrange("canvas:alive", 0, -1)}


@pytest.mark.parametrize("ttl", [1, 30])
def test_what_a_celery_worker_shortens_is_renewed(driver, ttl):
    settle(driver, chord_starts=[ChordStart("g", 3, FAR, b"structure")])
    settle(driver, lasting("a"))
    options = driver.at_results.connection_pool.connection_kwargs
    app = celery.Celery("x", backend=f"redis://127.0.0.1:{options['port']}/{options['db']}", set_as_current=False)
    app.conf.result_expires = ttl
    body = {"task": "t.body", "args": [], "kwargs": {}, "options": {"task_id": "body"}, "subtask_type": None}
    app.backend.on_chord_part_return(Request("b", "g", 1, body), "SUCCESS", 1)
    keys = [f"{BASE}{suffix}" for suffix in ("", ".s", ".j", ".d")]
    assert all(driver.at_results.ttl(key) <= ttl for key in keys)
    assert renew(driver) == len(registered(driver))
    assert all(FAR - 60 < driver.at_results.ttl(key) <= FAR for key in keys)
    assert driver.settler.renew(60) == 0
    (ready,) = settle(driver, lasting("c"))
    assert (len(ready.parts), ready.structure, ready.lost) == (3, b"structure", False)
    assert driver.settler.dispatch_chord(chord_end("g", publish("body"))).held
    assert registered(driver) == set()


def test_many_chords_are_renewed_and_those_that_ended_elsewhere_are_forgotten(driver):
    groups = [f"g{n}" for n in range(600)]
    settle(driver, chord_starts=[ChordStart(group, 2, FAR) for group in groups])
    settle(driver, *(part(group, "a", 0)._replace(expires=FAR) for group in groups))
    before = len(registered(driver))
    for group in groups[::2]:  # as a Celery worker ends it
        base = f"celery-taskset-meta-{group}"
        driver.at_results.delete(*(base + suffix for suffix in (".j", ".t", ".s", ".d")))
        driver.at_results.set(f"{base}.c", "done", ex=300)
    for group in groups[1::2]:
        driver.at_results.expire(f"celery-taskset-meta-{group}.s", 5)
    assert renew(driver) == before
    assert len(registered(driver)) == before // 2
    assert all(driver.at_results.ttl(f"celery-taskset-meta-{group}.s") > 60 for group in groups[1::2])
    assert all(not driver.at_results.exists(f"celery-taskset-meta-{group}.s") for group in groups[::2])


def test_abandoned_chords_are_not_kept(driver):
    settle(driver, chord_starts=[ChordStart("g", 2, 2)])
    settle(driver, part("g", "a", 0)._replace(expires=2))
    for _ in range(3):
        renew(driver)
    eventually(lambda: renew(driver) is not None and not driver.at_results.keys(f"{BASE}*") and not registered(driver))


def test_what_never_expires_is_told_to_stay(driver):
    settle(driver, chord_starts=[ChordStart("g", 3, 0)])
    settle(driver, part("g", "a", 0)._replace(expires=0))
    driver.at_results.expire(f"{BASE}.s", 60)
    renew(driver)
    assert [driver.at_results.ttl(f"{BASE}{suffix}") for suffix in (".s", ".j", ".d")] == [-1, -1, -1]


def test_a_chord_of_others_is_kept_while_its_message_waits(driver):
    client = driver.at_results
    client.set(f"{BASE}.s", 2, ex=60)
    settle(driver, keeps=[Keep("g", FAR), Keep("nobody", FAR)])
    assert client.ttl(f"{BASE}.s") > FAR - 60
    assert registered(driver) == {f"kept:{BASE}"}
    client.expire(f"{BASE}.s", 5)
    renew(driver)
    assert client.ttl(f"{BASE}.s") > FAR - 60


def test_a_join_of_a_run_is_kept_while_the_run_waits(driver):
    client = driver.at_results
    settle(driver, lasting("a", size=3))
    for suffix in (".j", ".d"):
        client.expire(f"{BASE}{suffix}", 5)
    settle(driver, keeps=[Keep("g", FAR), Keep("nobody", FAR)])
    assert [client.ttl(f"{BASE}{suffix}") > FAR - 60 for suffix in (".j", ".d")] == [True, True]
    assert registered(driver) == {f"run:{BASE}"}


@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("gone", ["all", "parts"])
def test_what_had_parts_and_has_none_is_lost_once(driver, gone, sized):
    size = 3 if sized else None
    if not sized:
        settle(driver, chord_starts=[ChordStart("g", 3, FAR)])
    settle(driver, lasting("a", size=size))
    suffixes = {"all": (".s", ".j", ".d"), "parts": (".j", ".d")}[gone]
    driver.at_results.delete(*(BASE + suffix for suffix in suffixes))
    (ready,) = settle(driver, lasting("b", size=size))
    assert (ready.group_id, ready.lost, len(ready.parts)) == ("g", True, 1)
    eventually(lambda: driver.settler.stale_ready_chords(0) == [ready])
    assert settle(driver, lasting("c", size=size)) == []
    end = chord_end("g", failed=True)._replace(expires=5)
    assert driver.settler.dispatch_chord(end).held
    assert settle(driver, lasting("c", size=size)) == []
    assert (driver.settler.stale_ready_chords(0), registered(driver)) == ([], set())
    assert all(0 < driver.at_results.ttl(key) <= 5 for key in driver.at_results.keys(f"{BASE}*"))


def test_a_size_that_is_not_there_yet_is_waited_for(driver):
    index, client = "canvas:chords:ready:unsized:index", driver.at_results
    assert settle(driver, lasting("a")) == []
    assert settle(driver, lasting("a")) == []
    assert driver.settler.stale_ready_chords(0) == []
    client.zadd(index, {"g": 0})
    client.set(f"{BASE}.s", 2)
    assert driver.settler.stale_ready_chords(0) == []
    assert not client.exists(index)
    (ready,) = settle(driver, lasting("b"))
    assert not ready.lost


def test_a_size_that_never_comes_is_a_loss(driver):
    settle(driver, lasting("a"))
    driver.at_results.zadd("canvas:chords:ready:unsized:index", {"g": 0})
    ready = eventually(lambda: driver.settler.stale_ready_chords(0))
    assert [(one.group_id, one.lost, one.callback) for one in ready] == [("g", True, b"fire a")]
    assert settle(driver, lasting("b")) == []


def test_a_late_copy_of_a_part_is_no_loss(driver):
    settle(driver, chord_starts=[ChordStart("g", 1, FAR)])
    settle(driver, lasting("a"))
    assert driver.settler.dispatch_chord(chord_end("g", failed=True)).held
    driver.at_results.delete(f"{BASE}.c")
    assert settle(driver, lasting("a")) == []
    assert not driver.at_results.exists("canvas:chords:ready:unsized")


def test_where_only_celery_runs_nothing_is_noted(redis_url, result_url, redis_server):
    driver = open_driver(redis_url, result_url)
    driver.settler.publish_with_chords([ChordStart("g", 2, FAR)], [publish("a")])
    assert not redis_server.client(0).exists("canvas:alive")
    assert FAR - 60 < redis_server.client(1).ttl(f"{BASE}.s") <= FAR
    driver.recovery.heartbeat("w", ["q"], 60)
    driver.settler.publish_with_chords([ChordStart("g", 2, FAR)], [publish("b")])
    assert redis_server.client(0).zrange("canvas:alive", 0, -1) == [f"kept:{BASE}".encode()]
    assert len(driver.broker.lease(Lease("w", ["q"], 5))) == 2
    driver.broker.close()
    driver.results.close()


def test_success_marks_expire_with_their_records(driver):
    driver.results.store([ResultWrite("a", b"hidden", 60, True), ResultWrite("b", b'{"status": "SUCCESS"}', 60, True)])
    keys = driver.at_results.keys("celery-task-meta-*")
    assert sorted(keys) == [b"celery-task-meta-a", b"celery-task-meta-a:success", b"celery-task-meta-b"]
    assert all(0 < driver.at_results.ttl(key) <= 60 for key in keys)


def test_lifetimes():
    assert (alive_for(60), alive_for(0), alive_for(60, 0)) == (ABANDONED_AFTER, 0, 0)
    assert alive_for(ABANDONED_AFTER * 2, 5) == ABANDONED_AFTER * 2
    assert (longer(1, 2), longer(2, 1), longer(0, 5), longer(5, 0)) == (2, 2, 0, 0)


def test_chords_that_wait_for_a_message():
    inner = {"task": "b", "options": {"task_id": "b", "group_id": "outer", "chord": {"task": "c", "options": {}}}}
    step = {"task": "s", "options": {"group_id": "later", "chord": inner}}
    embed = {
        "callbacks": None,
        "errbacks": None,
        "chain": [step, {"task": "t", "options": {"group_id": "no chord"}}],
        "chord": inner,
    }
    assert chords_in(embed) == {"outer", "later"}
    deep = {"options": {}}
    for _ in range(5_000):
        deep = {"options": {"chord": deep}}
    assert chords_in(deep) == set()


def test_chords_without_a_size_are_soon_forgotten(driver):
    """Older workers of Celery leave no mark behind a chord that they have ended, and none behind one that failed."""
    settle(driver, chord_starts=[ChordStart("g", 2, FAR * 9), ChordStart("h", 2, FAR * 9)])
    settle(driver, *(part(group, "a", 0)._replace(expires=FAR * 9) for group in "gh"))
    before = registered(driver)
    assert any(name.endswith("-g") for name in before)
    driver.at_results.delete(*(f"{BASE}{suffix}" for suffix in (".j", ".t", ".s", ".d")))
    names = [name for name in before if name.endswith("-g")]

    def seconds_left(name):
        return driver.at_registry.zscore("canvas:alive", name) - driver.at_registry.time()[0]

    for _ in range(2):
        renew(driver)
        assert registered(driver) == before
        assert all(FAR - 60 < seconds_left(name) <= FAR + 1 for name in names)
    assert all(seconds_left(name) > FAR * 8 for name in before - set(names))
    driver.at_registry.zadd("canvas:alive", dict.fromkeys(names, 1), xx=True)
    renew(driver)
    assert registered(driver) == before - set(names)
