"""Nothing lost and nothing twice while slots migrate, masters change, and workers are killed."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from canvas.drivers import open_driver
from canvas.drivers.redis.cluster.opening import PARTITIONS
from canvas.drivers.redis.cluster.slots import slot_of, spread_tags
from canvas.drivers.redis.partitions.partition import HashedLayout
from canvas.errors import OperationalError
from canvas.model.settlement import DelayedPublish, Settlement
from canvas.testing.contract import eventually, publish
from tests.chaos.workload import assert_ran_once, workload
from tests.support.apps import make
from tests.support.cluster_bench import ClusterBench
from tests.support.processes import members
from tests.support.redis_cluster import RedisCluster
from tests.worker.commands import start, task

TAGS = spread_tags(PARTITIONS)
TAG_OF_THE_QUEUE = TAGS[HashedLayout(PARTITIONS).of_queue("celery")]
OF_THE_QUEUE = slot_of(TAG_OF_THE_QUEUE)


@contextmanager
def client(bench):
    broker, backend, ledger = bench.urls()
    app = make("canvas", broker, backend, ledger=ledger)
    yield app
    app.close()


@contextmanager
def meanwhile(call):
    """Run ``call`` on a thread during the block; its error is raised at the end."""
    failure = []

    def run():
        try:
            call()
        except Exception as exc:  # noqa: BLE001 - the block's end raises it
            failure.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(120)
    assert not thread.is_alive()
    assert not failure, failure


def assert_nothing_is_left(bench, app):
    eventually(lambda: app.driver.admin.in_flight() == (0, 0, 0), 60)
    eventually(lambda: not app.driver.settler.stale_ready_chords(0), 60)
    eventually(lambda: not [name for name in bench.lasting() if name.startswith("canvas:crossings")], 60)


def test_slots_migrate_under_load(bench):
    """The slot of the queue, and some with results, move to another master and back, with a half of their keys there."""
    key, cluster = bench.new_key(), bench.cluster
    slots = [OF_THE_QUEUE, *(slot_of(tag) for tag in TAGS[:3])]

    def move():
        for slot in slots:
            home = cluster.owner(slot)
            other = next(node for node in cluster.masters if node is not home)
            for target in (other, home):
                # The test's own task runs while no script may: it ends only when the slot is whole again.
                cluster.migrate(slot, target, between=lambda: task(app, "add").apply_async((1, 1), queue="elsewhere"))

    with client(bench) as app, start(bench, "-P", "threads", "-c", "4"), meanwhile(move):
        sent = workload(app, key, 4)
        assert [result.get(timeout=120) for result, _ in sent] == [value for _, value in sent]
        assert_ran_once(bench, key, 4, set())
    with client(bench) as app:
        assert app.driver.admin.purge("elsewhere") == 2 * len(slots)
        assert_nothing_is_left(bench, app)


@pytest.fixture
def driver(bench):
    driver = open_driver(*bench.urls()[:2])
    yield driver
    driver.close()


def enqueued(driver):
    """How many messages were due; none while their partition is not asked."""
    try:
        return driver.broker.enqueue_due(10)
    except OperationalError:
        return 0


def test_no_script_begins_while_its_slot_migrates(bench, driver):
    """A script that found the list of a due message on the other node would take it for one that refuses messages."""
    bench.empty()
    due = DelayedPublish(time.time() - 1, publish("later", "celery"))
    driver.settler.settle([Settlement(None, fence="none", publishes=[publish("now", "celery")], deferrals=[due])])
    home = bench.cluster.owner(OF_THE_QUEUE)
    other = next(node for node in bench.cluster.masters if node is not home)
    driver.recovery.heartbeat("w", ["celery"], 60)

    def enqueue():
        with pytest.raises(OperationalError, match="is migrating"):
            driver.broker.enqueue_due(10)
        assert driver.admin.queue_length("celery") == 1

    bench.cluster.migrate(OF_THE_QUEUE, other, enqueue, first=lambda key: key.endswith(b"}:celery"))
    assert eventually(lambda: enqueued(driver), 60) == 1
    assert driver.admin.queue_length("celery") == 2
    assert driver.admin.dead_letters("celery") == []
    bench.cluster.migrate(OF_THE_QUEUE, home)


@pytest.mark.slow
def test_a_part_of_the_cluster_is_down_and_says_so(redis_server):
    with RedisCluster(3) as cluster:
        driver = open_driver(cluster.url(), None)
        driver.broker.publish([publish("a", "celery")])
        cluster.owner(OF_THE_QUEUE).stop(signal.SIGKILL)
        cluster.until(
            lambda: any(client.cluster("info")["cluster_state"] == "fail" for client in cluster.masters_now())
        )
        with pytest.raises(OperationalError, match=r"a node of cluster|the cluster is down"):
            driver.admin.queue_length("celery")
        driver.close()


@pytest.fixture(scope="module")
def six_nodes(redis_server):
    with RedisCluster(3, replicas=1, node_timeout=2000) as cluster:
        yield ClusterBench(cluster, redis_server)


def fail_over(cluster):
    """Have each replica take over from its master, one after the other; each master becomes its replica."""
    for node in cluster.replicas_now():
        cluster.take_over(node)
    cluster.until(cluster.whole)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_masters_change_and_workers_die_under_load(six_nodes):
    bench, killed = six_nodes, set()
    bench.empty()
    key = bench.new_key()

    def kill(worker):
        fail_over(bench.cluster)
        killed.update(members(worker.process.pid))
        os.killpg(worker.process.pid, signal.SIGKILL)
        fail_over(bench.cluster)

    with client(bench) as app, start(bench, "-P", "prefork", "-c", "2", short_leases=1):
        doomed = start(bench, "-P", "threads", "-c", "4", short_leases=1).ready()
        with meanwhile(lambda: kill(doomed)):
            sent = workload(app, key, 12)
            values = [result.get(timeout=200) for result, _ in sent]
        assert values == [value for _, value in sent]
        assert_ran_once(bench, key, 12, killed)
        assert_nothing_is_left(bench, app)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_master_is_killed_while_tasks_run(six_nodes):
    """The master of the queue dies with leases in it; its replica takes over, and the tasks end as if nothing was."""
    bench = six_nodes
    bench.empty()
    cluster, key = bench.cluster, bench.new_key()
    with client(bench) as app, start(bench, "-P", "threads", "-c", "4"):
        running = [task(app, "until_open").delay(key) for _ in range(4)]
        chained = task(app, "until_open").s(key) | task(app, "ident").s()
        waiting = [chained.delay() for _ in range(4)]
        eventually(lambda: app.driver.admin.in_flight().leased >= 4, 60)
        cluster.until(cluster.whole)
        master = cluster.owner(OF_THE_QUEUE)
        # The replica has everything when it has confirmed the last write. WAIT is about those of its own connection.
        last = master.client().pipeline(transaction=False)
        last.set(f"{{{TAG_OF_THE_QUEUE}}}:last", 1, ex=60).execute_command("WAIT", 1, 20_000)
        assert last.execute()[1] == 1
        master.stop(signal.SIGKILL)
        cluster.until(lambda: cluster.owner(OF_THE_QUEUE) is not master)
        bench.open(key)
        assert [result.get(timeout=120) for result in running + waiting] == [key] * 8
        master.start()
        cluster.until(cluster.whole)
        assert_nothing_is_left(bench, app)
