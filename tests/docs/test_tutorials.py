"""The tutorials are followed literally, each from an empty folder."""

from contextlib import contextmanager, nullcontext

import pytest

from tests.docs.test_pages import DOCS
from tests.support.memcached import MemcachedServer
from tests.support.walkthrough import Walkthrough

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("page", sorted((DOCS / "tutorial").glob("*.md")), ids=lambda page: page.stem)
def test_a_tutorial(page, tmp_path, bench):
    bench.server.client().flushall()
    with Walkthrough(page, tmp_path, f"localhost:{bench.server.port}") as walk:
        walk.follow()


@contextmanager
def memcached():
    with MemcachedServer() as server:
        yield {"localhost:11211": f"localhost:{server.port}"}


GUIDES = [
    "alert", "change-code-while-runs-live", "dead-letters", "django", "fastapi", "find-runs", "flask", "keep-results-in-sql", "limit",
    "migrate-from-celery", "pass-large-data", "report-progress", "retry", "route", "schedule-tasks-and-workflows", "several-brokers",
    "size-a-fleet", "test", "trace-with-opentelemetry", "tune-redis",
]  # fmt: skip
WITH_OTHER_SERVERS = {"choose-a-result-store": memcached}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*GUIDES, *WITH_OTHER_SERVERS])
def test_a_guide(name, tmp_path, bench):
    server = bench.server.client()
    server.flushall()
    server.config_set("maxmemory-policy", "noeviction")
    page, address = DOCS / "how-to" / f"{name}.md", f"localhost:{bench.server.port}"
    with WITH_OTHER_SERVERS.get(name, nullcontext)() as others, Walkthrough(page, tmp_path, address, others) as walk:
        walk.follow()
