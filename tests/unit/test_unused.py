"""Each of Celery's settings has an effect, or it is known why not."""

import re
from pathlib import Path

import pytest
from celery.app.defaults import NAMESPACES, flatten

from canvas import Canvas
from canvas.config.ignored import _BY_PREFIX, _NAMES, ignored_reason, ignored_settings
from canvas.config.settings import SETTINGS

ROOT = Path(__file__).parent.parent.parent
CODE = "\n".join(
    path.read_text()
    for path in (ROOT / "canvas").rglob("*.py")
    if path.relative_to(ROOT).as_posix() not in ("canvas/config/settings.py", "canvas/config/ignored.py")
)  # fmt: skip
PUT_TOGETHER = {f"redis_{name}" for name in ("max_connections", "socket_timeout", "socket_connect_timeout", "socket_keepalive")}  # fmt: skip


WORDS = {word for line in CODE.splitlines() if not line.startswith("_SECRET") for word in re.findall(r"\w+", line)}


def is_read(name):
    return name in PUT_TOGETHER or name in WORDS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_read_or_said_to_have_no_effect(name):
    assert is_read(name) != (ignored_reason(name) is not None)


def test_all_of_celerys_settings_are_known():
    assert {name for name, _ in flatten(NAMESPACES)} <= set(SETTINGS)


def test_what_is_told():
    app = Canvas("u", broker_pool_limit=3, worker_concurrency=2, s3_bucket="b")
    assert ignored_settings(app.conf) == {
        "broker_pool_limit": "connections are opened as they are needed, and kept",
        "s3_bucket": "results are kept in Redis, or in SQL",
    }


def test_the_page_has_all_of_it():
    page = (ROOT / "docs/reference/settings.md").read_text()
    for name, why in _NAMES.items():
        assert re.search(rf"`{name}`.*\| {re.escape(why)} \|", page), name
    for room, why in _BY_PREFIX.items():
        assert re.search(rf"`{room}_\*`.*\| {re.escape(why)} \|", page), room
