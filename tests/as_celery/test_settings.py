"""Every setting of ``app.conf`` has the value that Celery gives it, however an app is configured."""

import time
from datetime import UTC, datetime, timedelta

import celery
import pytest
from celery.app.defaults import DEFAULTS
from kombu import Exchange, Queue

from canvas import Canvas
from canvas.schedules import crontab

DIFFER = {"task_acks_late", "beat_scheduler"}
"""Settings with another default than Celery's."""


class DjangoSettings:
    """The settings of a Django project, of a namespace and Django's own."""

    TIME_ZONE = "Europe/Prague"
    USE_TZ = True
    CELERY_BROKER_URL = "redis://h/1"
    CELERY_TASK_DEFAULT_QUEUE = "dq"
    CELERY_TASK_ROUTES = {"a": "b"}
    CELERY_TASK_RESULT_EXPIRES = 33


OLD = {"BROKER_URL": "redis://h/1", "CELERY_RESULT_BACKEND": "redis://h/2", "CELERY_DEFAULT_QUEUE": "dq",
       "CELERYD_CONCURRENCY": 3, "CELERY_DEFAULT_EXCHANGE": "dx", "CELERY_ROUTES": {"a": "b"}}  # fmt: skip
WAYS = {
    "as it is": ({}, None),
    "with a broker": ({"broker": "amqp://u:p@h/v"}, None),
    "with keywords": ({"broker": "redis://h/1", "backend": "redis://h/2", "task_default_queue": "dq"}, None),
    "with two brokers": ({"broker_read_url": "redis://r/1", "broker_write_url": "redis://w/1"}, None),
    "by old names": ({}, (OLD,)),
    "of a namespace": ({}, (DjangoSettings, "CELERY")),
    "of a mapping with Django's names": ({}, ({"TIME_ZONE": "Europe/Prague"},)),
    "in local time": ({"enable_utc": False}, None),
}


def configured(kind, way):
    keywords, source = WAYS[way]
    app = kind("configured", set_as_current=False, **keywords)
    if source:
        app.config_from_object(source[0], namespace=source[1] if len(source) > 1 else None)
    return app


@pytest.mark.parametrize("way", WAYS)
def test_settings_have_celerys_values(way):
    def values(kind):
        conf = configured(kind, way).conf
        names = sorted(DEFAULTS.keys() - DIFFER)
        return {name: (repr(getattr(conf, name)), repr(conf[name]), repr(conf.get(name))) for name in names}

    assert values(Canvas) == values(celery.Celery)


ZONES = {
    "of a namespace": "Europe/Prague",
    "of a mapping with Django's names": "Europe/Prague",
    "in local time": "America/New_York",
}


@pytest.fixture
def on_machine_in():
    """A function that sets the time zone of this machine, by the value of ``TZ``."""
    with pytest.MonkeyPatch.context() as patched:

        def change(value):
            patched.setenv("TZ", value)
            time.tzset()

        yield change
    time.tzset()


@pytest.mark.parametrize("way", WAYS)
def test_schedules_are_in_celerys_time_zone(way, on_machine_in):
    on_machine_in("America/New_York")
    app = configured(Canvas, way)
    zones = [app.timezone, crontab(hour=8, app=app).tz, app.now().tzinfo]
    assert list(map(str, zones)) == [ZONES.get(way, "UTC")] * 3


def test_local_time_of_a_machine_whose_zone_has_no_name(on_machine_in):
    on_machine_in("XST-3")
    app = configured(Canvas, "in local time")
    assert app.now().utcoffset() == timedelta(hours=3)
    assert datetime(2026, 7, 1, 12, tzinfo=UTC).astimezone(app.timezone).hour == 15


QUEUES = {
    "without exchanges": {"task_queues": [Queue("a"), Queue("b", Exchange("bx")), Queue("c", routing_key="k")]},
    "behind the default exchange": {
        "task_queues": [Queue("a", routing_key="a.#"), Queue("b")],
        "task_default_exchange": "tx",
        "task_default_exchange_type": "topic",
        "task_default_routing_key": "a.default",
    },
    "as mappings": {"task_queues": {"a": {}, "b": {"exchange": "x", "routing_key": "k"}, "c": {"binding_key": "d"}}},
    "of another default": {"task_queues": [Queue("a")], "task_default_queue": "dq"},
}


@pytest.mark.parametrize("kind", QUEUES)
def test_queues_have_celerys_exchanges(kind):
    def found(app_class):
        app = app_class("queues", set_as_current=False, **QUEUES[kind])
        queues = [app.amqp.queues[name] for name in (*sorted(app.amqp.queues), "new")]
        return [(one.name, one.exchange.name, one.exchange.type, one.routing_key) for one in queues]

    assert found(Canvas) == found(celery.Celery)


def test_values_by_a_part_of_their_names():
    conf, theirs = Canvas(set_as_current=False).conf, celery.Celery(set_as_current=False).conf
    for name in ("expires", "default_queue", "url", "pool", "timezone"):
        assert conf.find_value_for_key(name) == theirs.find_value_for_key(name)
