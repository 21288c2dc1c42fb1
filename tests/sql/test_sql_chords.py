"""Chords and workflow runs with a worker, messages in Redis and results in SQL; workers that are killed."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, inspect, text

from canvas import chain, chord, group
from canvas.drivers import open_driver
from canvas.drivers.ports.chords import Records
from canvas.errors import ChordError
from canvas.model.settlement import ChordStart, Keep, Settlement
from canvas.testing.contract import chord_end, eventually, part
from tests.chaos.instants import Executioner, Instant
from tests.chaos.workload import assert_ran_once, workload
from tests.support.apps import make
from tests.support.ledger import Bench
from tests.support.processes import WorkerProcess, members
from tests.worker.commands import task


@pytest.fixture
def bench(redis_server, redis_url):
    return Bench(redis_server)


@pytest.fixture
def app(bench, url):
    broker, _, ledger = bench.urls()
    with make("canvas", broker, url, ledger=ledger) as app:
        yield app


def worker(bench, url, *arguments, broker=None, **settings):
    own, _, ledger = bench.urls()
    return WorkerProcess("canvas", broker or own, url, *arguments, ledger=ledger, short_leases=1, **settings)


def rows(url, table):
    engine = create_engine(url[3:])
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT * FROM {table}")).mappings().all()
    engine.dispose()
    return found


def test_composites_and_workflows_have_their_values(bench, app, url):
    add, tsum = task(app, "add"), task(app, "tsum")
    with worker(bench, url, "-P", "threads", "-c", "4"):
        wide = chord([add.s(n, n) for n in range(120)], tsum.s()).delay()
        outer = chord([chord([add.s(1, 1), add.s(2, 2)], tsum.s()), add.s(3, 3)], tsum.s()).delay()
        line = chain(add.s(1, 1), group(add.s(1), add.s(2)), tsum.s(), add.s(10)).delay()
        failed = chord([add.s(1, 1), task(app, "fail").s()], tsum.s()).delay()
        flow = app.Workflow("sums")
        first = flow.add(add.s(1, 2), name="first")
        left, right = (flow.add(add.s(first, n), name=f"next {n}") for n in (10, 20))
        flow.add(add.s(left, right), name="last")
        run = flow.delay()
        assert [one.get(timeout=30) for one in (wide, outer, line)] == [120 * 119, 12, 17]
        assert run.get(timeout=30) == 36
        eventually(lambda: failed.state == "FAILURE")
        assert isinstance(failed.result, ChordError)
        eventually(lambda: {row["state"] for row in rows(url, "canvas_chords")} <= {"done", "failed"})


INSTANTS = [
    Instant("records stored, messages not sent", "settle", "before", lambda request: request.arguments[2] != b"\x90"),
    Instant("before a chord's body", "publish_guarded", "before"),
    Instant("the body sent, its chord not ended", "publish_guarded", "after"),
]


KILLS = [
    pytest.param(
        instant, url, id=f"{instant.name}-{url}", marks=() if (number, url) == (2, "postgresql") else pytest.mark.slow
    )
    for number, instant in enumerate(INSTANTS)
    for url in ("sqlite", "postgresql")
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("instant", "url"), KILLS, indirect=["url"])
def test_a_killed_worker_loses_nothing(bench, app, url, instant):
    key, rounds = bench.new_key(), 2
    executioner = Executioner(instant)
    port = int(bench.urls()[0].rpartition(":")[2].partition("/")[0])
    with executioner.proxy(port) as proxy:
        victim = worker(bench, url, "-P", "threads", "-c", "3", broker=proxy.url(0)).ready()
        executioner.killed.update(members(victim.process.pid))
        executioner.victim = victim.process.pid
        sent = workload(app, key, rounds)
        assert victim.wait(30) == -signal.SIGKILL
    with worker(bench, url, "-P", "threads", "-c", "3"):
        assert [result.get(timeout=60) for result, _ in sent] == [value for _, value in sent]
    assert_ran_once(bench, key, rounds, executioner.killed)
    assert not [row for row in rows(url, "canvas_chords") if row["state"] == "ready"]


def test_exactly_one_transaction_completes_a_chord(postgres_url):
    """Many connections count the parts of the same chords, in different orders."""
    driver = open_driver("memory://", postgres_url)
    chords, names = driver.chords, [f"g{n}" for n in range(4)]
    chords.start_chords([ChordStart(name, 40, 60) for name in names])

    def count(n):
        order = names if n % 2 else names[::-1]
        return chords.record(Records(parts=[part(name, f"t{n}", n) for name in order]))

    with ThreadPoolExecutor(8) as threads:
        ready = [one for found in threads.map(count, range(40)) for one in found]
    assert sorted(one.group_id for one in ready) == names
    assert all(one.parts == [f"value of t{n}".encode() for n in range(40)] for one in ready)
    driver.close()


@pytest.fixture
def driver(url):
    driver = open_driver("memory://", url)
    yield driver
    driver.close()


def test_an_abandoned_chord_ends_in_failure(driver):
    names = [("with parts", 1), ("without", 1), ("long", 60), ("kept", 1)]
    driver.chords.start_chords([ChordStart(name, 2, expires) for name, expires in names])
    driver.settler.settle([Settlement(None, fence="none", keeps=[Keep("kept", 60), Keep("nothing", 60)])])
    driver.chords.record(Records(parts=[part("with parts", "a", 0)._replace(expires=1)]))
    ended = []
    eventually(lambda: ended.append(driver.settler.renew(1)) or sum(ended) == 2)
    (ready,) = driver.settler.stale_ready_chords(0)
    assert (ready.group_id, ready.lost, ready.callback) == ("with parts", True, b"fire a")
    assert driver.settler.dispatch_chord(chord_end("with parts", failed=True)).held
    assert driver.settler.stale_ready_chords(0) == []
    assert driver.settler.renew(1) == 1
    for name in ("long", "kept"):
        assert driver.chords.record(Records(parts=[part(name, "a", 0), part(name, "b", 1)]))


def test_a_chord_that_is_started_again_counts_anew(driver):
    for failed in (False, True, False):
        driver.chords.start_chords([ChordStart("g", 2, 60)])
        assert driver.chords.record(Records(parts=[part("g", "a", 0)])) == []
        (ready,) = driver.chords.record(Records(parts=[part("g", "b", 1)]))
        assert ready.parts == [b"value of a", b"value of b"]
        driver.chords.delete_chord("g", failed, 60)
        late = [part("g", name, at)._replace(size=2) for at, name in enumerate("ab")]
        assert driver.chords.record(Records(parts=late)) == []


def test_a_chord_without_a_size_is_left_to_celery(driver):
    """A Celery client sends ``celery.chord_unlock`` for it."""
    assert driver.chords.record(Records(parts=[part("g", "a", 0), part("g", "b", 1)])) == []
    assert driver.settler.stale_ready_chords(0) == []


def test_tables_are_made_once(url):
    for _ in range(2):
        driver = open_driver("memory://", url)
        driver.results.get(["a"])
        driver.close()
    engine = create_engine(url[3:])
    assert {"celery_taskmeta", "canvas_chords", "canvas_runs"} <= set(inspect(engine).get_table_names())
    engine.dispose()
