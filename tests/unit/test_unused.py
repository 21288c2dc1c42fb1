"""Each of Celery's settings has an effect, or it is known why not."""

import re
from pathlib import Path

import pytest
from celery.app.defaults import NAMESPACES, flatten

from canvas import Canvas
from canvas.app.broker_address import broker_address
from canvas.config.ignored import ignored_reason, ignored_settings
from canvas.config.settings import SETTINGS
from canvas.errors import ConfigurationError

ROOT = Path(__file__).parent.parent.parent
CODE = "\n".join(
    path.read_text()
    for path in (ROOT / "canvas").rglob("*.py")
    if path.relative_to(ROOT).as_posix() 
    not in ("canvas/config/settings.py", "canvas/config/ignored.py", "canvas/config/effects.py")
)  # fmt: skip
PUT_TOGETHER = {f"redis_{name}" for name in ("max_connections", "socket_timeout", "socket_connect_timeout", "socket_keepalive")}  # fmt: skip


WORDS = {word for line in CODE.splitlines() if not line.startswith("_SECRET") for word in re.findall(r"\w+", line)}


SHOWN = {"broker_pool_limit", "beat_sync_every", "result_backend_always_retry"}
"""Settings that only programs read: from an attribute of the app's parts, or in a scheduler class of their own."""


def is_read(name):
    return name in PUT_TOGETHER or (name in WORDS and name not in SHOWN)


def test_a_setting_is_read_or_said_to_have_no_effect():
    assert [name for name in SETTINGS if is_read(name) == (ignored_reason(name) is not None)] == []


def test_all_of_celerys_settings_are_known():
    assert {name for name, _ in flatten(NAMESPACES)} <= set(SETTINGS)


def test_what_is_told():
    app = Canvas("u", broker_pool_limit=3, worker_concurrency=2, s3_bucket="b")
    assert ignored_settings(app.conf) == {
        "broker_pool_limit": "connections are opened as they are needed, and kept",
        "s3_bucket": "results are kept in Redis, in SQL, in Memcached or in files",
    }


@pytest.mark.parametrize("given", [{"broker_read_url": "memory://a"}, {"broker_write_url": "memory://a"},
                                   {"broker_read_url": "memory://a", "broker_write_url": "memory://a"}])  # fmt: skip
def test_the_broker_of_one_way_is_the_broker(given):
    app = Canvas("ways", set_as_current=False, **given)
    assert broker_address(app.conf) == "memory://a"
    assert ignored_settings(app.conf) == {}
    app.conf.broker_url = "memory://b"
    assert broker_address(app.conf) == "memory://b"
    assert set(ignored_settings(app.conf)) == set(given)


def test_two_brokers_are_refused():
    app = Canvas("ways", set_as_current=False, broker_read_url="memory://a", broker_write_url="memory://b")
    with pytest.raises(ConfigurationError, match="memory://a and broker_write_url memory://b name two brokers"):
        app.send_task("t")
