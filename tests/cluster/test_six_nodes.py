"""The contract, workflows of every shape and a workload with a killed worker, on six nodes whose masters change and whose
slots migrate all the while."""

import os
import signal
import threading
from contextlib import contextmanager
from itertools import count, cycle

import pytest

from canvas.drivers import open_driver
from canvas.drivers.redis.cluster.opening import PARTITIONS
from canvas.drivers.redis.cluster.slots import slot_of, spread_tags
from canvas.drivers.redis.connection import pauses
from canvas.testing.contract import DriverContract
from tests.chaos.workload import assert_ran_once, workload
from tests.cluster.test_faults import assert_nothing_is_left, client
from tests.support.cluster_bench import ClusterBench
from tests.support.processes import members
from tests.support.redis_cluster import RedisCluster
from tests.support.shapes import SHAPES, Shapes
from tests.worker.commands import start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
TAGS = spread_tags(PARTITIONS)


class Restless:
    """Moves a slot to the next master, then has a replica take over, and so on, on a thread of its own."""

    def __init__(self, cluster):
        self.moved = self.changed = 0
        self._cluster = cluster
        self._slots = cycle(map(slot_of, TAGS))
        self._ended = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self._ended.is_set():
                self._move(next(self._slots))
                self._change()
        except BaseException as exc:  # noqa: BLE001 - the end of the block raises it
            self._error = exc

    def _move(self, slot):
        masters = self._cluster.serving()
        home = self._cluster.owner(slot)
        self._cluster.migrate(slot, masters[(masters.index(home) + 1) % len(masters)])
        self.moved += 1

    def _change(self):
        self._cluster.take_over(self._cluster.replicas_now()[0])
        self._cluster.until(self._cluster.whole)
        self.changed += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._ended.set()
        self._thread.join(120)
        assert self._error is None, self._error


@pytest.fixture(scope="module")
def cluster():
    with RedisCluster(3, replicas=1, node_timeout=2000) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """On a busy machine a slot migrates for longer than the tries of a call last by default."""
    monkeypatch.setattr(pauses, "TRIES", 60)


@contextmanager
def restless(cluster):
    """A block in which at least one slot migrates, and at least one master changes."""
    with Restless(cluster) as found:
        yield
    assert found.moved
    assert found.changed


@pytest.fixture(scope="class")
def moving(cluster):
    with restless(cluster):
        yield cluster


class TestContract(DriverContract):
    numbers = count()

    @pytest.fixture
    def driver(self, moving):
        # The nodes are not emptied: a write to a node that has just become a replica fails.
        options = {"global_keyprefix": f"contract{next(self.numbers)}:"}
        driver = open_driver(moving.url(), moving.url(), broker_options=options, result_options=options)
        yield driver
        driver.close()

    def test_priority_steps_come_before_queues(self, driver):
        """Only of queues in one partition; tests/cluster/test_contract.py."""
        sent = [self.publish("low", "q1", 9), self.publish("high", "q1", 0)]
        driver.broker.publish(sent)
        assert self.ids(self._lease(driver, 10, "q1")) == ["high", "low"]


def test_every_shape(cluster, redis_server):
    import canvas

    bench = ClusterBench(cluster, redis_server)
    bench.empty()
    with client(bench) as app, start(bench, "-P", "threads", "-c", "4"), restless(cluster):
        made = [getattr(Shapes(canvas, app), shape)() for shape in SHAPES]
        sent = [(signature.apply_async(), value) for signature, value in made]
        assert [result.get(timeout=200) for result, _ in sent] == [value for _, value in sent]
        assert_nothing_is_left(bench, app)


def test_a_workload_whose_worker_is_killed(cluster, redis_server):
    bench, killed = ClusterBench(cluster, redis_server), set()
    bench.empty()
    key = bench.new_key()
    with client(bench) as app, start(bench, "-P", "prefork", "-c", "2", short_leases=1), restless(cluster):
        doomed = start(bench, "-P", "threads", "-c", "4", short_leases=1).ready()
        sent = workload(app, key, 8)
        killed.update(members(doomed.process.pid))
        os.killpg(doomed.process.pid, signal.SIGKILL)
        assert [result.get(timeout=250) for result, _ in sent] == [value for _, value in sent]
        assert_ran_once(bench, key, 8, killed)
        assert_nothing_is_left(bench, app)
