import pytest

from tests.support.cluster_bench import ClusterBench
from tests.support.redis_cluster import RedisCluster


@pytest.fixture(scope="session")
def running_cluster():
    """Three masters without replicas, for all tests that do not stop one."""
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster):
    """That cluster, empty."""
    running_cluster.flush()
    return running_cluster


@pytest.fixture(scope="module")
def bench(running_cluster, redis_server):
    """A bench in that cluster, empty when the module begins."""
    bench = ClusterBench(running_cluster, redis_server)
    bench.empty()
    return bench
