"""A cluster of which a part is away for a while, under load: nothing is lost, nothing is twice, and workers go on."""

import signal
import time

import pytest

from canvas import chord
from canvas.testing.contract import eventually
from tests.chaos.workload import assert_each_ran_once, assert_ran_once, tasks_of, workload
from tests.cluster.test_faults import OF_THE_QUEUE, assert_nothing_is_left, client, fail_over, meanwhile
from tests.support.cluster_bench import ClusterBench
from tests.support.redis_cluster import RedisCluster
from tests.worker.commands import start, task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
ROUNDS = 40
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
LOADS_SLOWLY = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
"""Microseconds for each command in the file, and after how many bytes a node answers that it is loading."""


def runs(bench, key):
    """How many tasks have run."""
    return bench.ledgers.llen(f"ledger:{key}")


def in_the_middle(bench, key, tasks):
    """Wait until some of the tasks have run. Most have not."""
    eventually(lambda: runs(bench, key) > tasks // 20)
    assert runs(bench, key) < tasks // 2


@pytest.mark.parametrize(("killed", "away"), [(2, 5.0), (1, 0.0)], ids=["most masters for a while", "the queue's"])
def test_masters_are_killed_and_load_their_data(redis_server, killed, away):
    """The others answer CLUSTERDOWN, and those that come back LOADING."""
    with RedisCluster(3, arguments=(*DURABLE, *LOADS_SLOWLY)) as cluster:
        bench = ClusterBench(cluster, redis_server)
        key, of_the_queue = bench.new_key(), cluster.owner(OF_THE_QUEUE)
        nodes = sorted(cluster.masters, key=lambda node: node is not of_the_queue)[:killed]

        def restart():
            in_the_middle(bench, key, tasks_of(ROUNDS))
            for node in nodes:
                node.stop(signal.SIGKILL)
            time.sleep(away)
            began = time.monotonic()
            for node in nodes:
                node.start()
            assert time.monotonic() - began > 1, "loading was over at once"
            cluster.until(cluster.whole)

        with client(bench) as app:
            sent = workload(app, key, ROUNDS)
            with start(bench, "-P", "threads", "-c", "4") as worker, meanwhile(restart):
                assert [result.get(timeout=200) for result, _ in sent] == [value for _, value in sent]
                # It has noticed nothing where its tries went on for longer than the outage.
                if any("Cannot use the broker" in line for line in worker.log):
                    worker.wait_for("The broker answers again")
            assert_ran_once(bench, key, ROUNDS, set())
            assert_nothing_is_left(bench, app)


def test_masters_change_in_the_middle_of_a_large_chord(redis_server):
    with RedisCluster(3, replicas=1, node_timeout=2000) as cluster:
        bench, count = ClusterBench(cluster, redis_server), 1000
        key = bench.new_key()

        def change():
            in_the_middle(bench, key, count)
            fail_over(cluster)

        with client(bench) as app:
            traced = task(app, "traced")
            result = chord([traced.s(number, key) for number in range(count)], traced.s(key)).delay()
            with start(bench, "-P", "threads", "-c", "4"), meanwhile(change):
                assert result.get(timeout=200) == sum(range(count)) + count + 1
            assert_each_ran_once(bench, key, count + 1, set())
            assert_nothing_is_left(bench, app)
