"""The tutorials are followed literally, each from an empty folder."""

import pytest

from tests.docs.test_pages import DOCS
from tests.support.walkthrough import Walkthrough

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("page", sorted((DOCS / "tutorial").glob("*.md")), ids=lambda page: page.stem)
def test_a_tutorial(page, tmp_path, bench):
    bench.server.client().flushall()
    with Walkthrough(page, tmp_path, f"localhost:{bench.server.port}") as walk:
        walk.follow()


GUIDES = [
    "alert", "dead-letters", "django", "limit", "migrate-from-celery", "pass-large-data", "report-progress", "retry", "route",
    "several-brokers", "size-a-fleet", "test", "trace-with-opentelemetry", "tune-redis",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_a_guide(name, tmp_path, bench):
    server = bench.server.client()
    server.flushall()
    server.config_set("maxmemory-policy", "noeviction")
    with Walkthrough(DOCS / "how-to" / f"{name}.md", tmp_path, f"localhost:{bench.server.port}") as walk:
        walk.follow()
