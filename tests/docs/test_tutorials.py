"""The tutorials are followed literally, each from an empty folder."""

from contextlib import contextmanager, nullcontext

import pytest

from tests.docs.test_pages import DOCS
from tests.support.memcached import MemcachedServer
from tests.support.redis_cluster import RedisCluster
from tests.support.walkthrough import Walkthrough

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("page", sorted((DOCS / "tutorial").glob("*.md")), ids=lambda page: page.stem)
def test_a_tutorial(page, tmp_path, bench):
    bench.server.client().flushall()
    with Walkthrough(page, tmp_path, f"localhost:{bench.server.port}") as walk:
        walk.follow()


@contextmanager
def memcached(_request):
    with MemcachedServer() as server:
        yield {"localhost:11211": f"localhost:{server.port}"}


@contextmanager
def rabbitmq(request):
    yield {
        "amqp://guest:guest@localhost:5672//": request.getfixturevalue("rabbitmq").url(),
        "db+postgresql://postgres:secret@localhost:5432/postgres": request.getfixturevalue("postgres").new_database(),
    }


@contextmanager
def redis_cluster(_request):
    with RedisCluster() as cluster:
        yield {"redis+cluster://cluster-node:6379": cluster.url()}


GUIDES = [
    "alert", "change-code-while-runs-live", "dead-letters", "django", "fastapi", "find-runs", "flask", "keep-results-in-sql", "limit",
    "migrate-from-celery", "monitor", "pass-large-data", "process-many-items", "report-progress", "retry", "route", "schedule-tasks-and-workflows", "several-brokers",
    "size-a-fleet", "test", "trace-with-opentelemetry", "tune-redis", "when-a-node-fails", "write-a-plugin",
]  # fmt: skip
WITH_OTHER_SERVERS = {"choose-a-result-store": memcached, "rabbitmq": rabbitmq, "redis-cluster": redis_cluster}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*GUIDES, *WITH_OTHER_SERVERS])
def test_a_guide(name, tmp_path, bench, request):
    server = bench.server.client()
    server.flushall()
    server.config_set("maxmemory-policy", "noeviction")
    page, address = DOCS / "how-to" / f"{name}.md", f"localhost:{bench.server.port}"
    servers = WITH_OTHER_SERVERS[name](request) if name in WITH_OTHER_SERVERS else nullcontext()
    with servers as others, Walkthrough(page, tmp_path, address, others) as walk:
        walk.follow()
