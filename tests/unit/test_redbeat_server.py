"""The server of celery-redbeat's keys is the one that RedBeat itself connects to, whatever its settings."""

import ssl
import warnings

import celery
import pytest
import redbeat.schedulers

from canvas import Canvas
from canvas.beat.sources.redbeat_server import server_of
from canvas.errors import ConfigurationError

SENTINELS = [("10.0.0.1", 26379), ("10.0.0.2", "26380")]
URL, OPTIONS, TLS = "redbeat_redis_url", "redbeat_redis_options", "redbeat_redis_use_ssl"


def theirs(settings):
    """Host, port or sentinels, and the login of RedBeat's own client."""
    app = celery.Celery("theirs", set_as_current=False, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # for settings that are the broker's
        pool = redbeat.schedulers.get_redis(app).connection_pool
    given = pool.connection_kwargs
    manager = getattr(pool, "sentinel_manager", None)
    watchers = [each.connection_pool.connection_kwargs for each in manager.sentinels] if manager else []
    where = [(one["host"], int(one["port"])) for one in watchers] or (given.get("host"), given.get("port", 6379))
    secured = given.get("ssl", False) or issubclass(pool.connection_class, redbeat.schedulers.redis.SSLConnection)
    return {
        "where": where, "master": getattr(pool, "service_name", None), "db": given.get("db", 0), "tls": bool(secured),
        "username": given.get("username"), "password": given.get("password"), "path": given.get("path"),
        "watchers": {one.get("password") for one in watchers}, "required": given.get("ssl_cert_reqs"),
    }  # fmt: skip


def ours(settings):
    found = server_of(Canvas("ours", set_as_current=False, **settings))
    hosted = (None, 6379) if found.path else (found.host, found.port)
    return {
        "where": list(found.sentinels) or hosted, "master": found.master, "db": found.db, "tls": found.ssl,
        "username": found.username, "password": found.password, "path": found.path,
        "watchers": {found.sentinel_options.get("password")} if found.sentinels else set(),
        "required": found.options.get("ssl_cert_reqs"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {URL: "redis-sentinel://ignored:1/5", OPTIONS: {"sentinels": SENTINELS}},
        {
            URL: "redis-sentinel://",
            OPTIONS: {"sentinels": SENTINELS, "service_name": "main", "db": 3, "username": "me", "password": "secret"},
        },
        {
            URL: "redis-sentinel://h",
            OPTIONS: {"sentinels": SENTINELS, "sentinel_kwargs": {"password": "theirs"}, "retry_period": 60},
        },
        {
            URL: "redis-sentinel://h",
            "broker_url": "amqp://",
            "broker_transport_options": {"sentinels": SENTINELS, "service_name": "main", "password": "secret"},
        },
        {URL: "redis-sentinel://h", OPTIONS: {"sentinels": SENTINELS}, TLS: {"ssl_cert_reqs": ssl.CERT_NONE}},
        {
            URL: "redis-sentinel://h",
            OPTIONS: {"sentinels": SENTINELS},
            "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_NONE},
        },
        {URL: "redis-sentinel://h", OPTIONS: {"sentinels": SENTINELS}, "broker_use_ssl": True},
        {URL: "redis://h:7000", OPTIONS: {"username": "me", "password": "secret", "db": 2}},
        {URL: "redis://you:other@h:7000/0", OPTIONS: {"username": "me", "password": "secret", "db": 2}},
        {URL: "redis://h/4", "broker_url": "redis://b", "broker_transport_options": {"password": "the broker's"}},
        {URL: "redis://h/4", "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_NONE}},
        {URL: "rediss://h:7000/1", TLS: {"ssl_cert_reqs": ssl.CERT_NONE}},
        {URL: "rediss://h:7000/1", "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_OPTIONAL}},
        {URL: "rediss://h", TLS: {"ssl_cert_reqs": ssl.CERT_NONE}, OPTIONS: {"ssl_cert_reqs": ssl.CERT_OPTIONAL}},
        {URL: "unix:///run/redis.sock", OPTIONS: {"password": "secret", "db": 2}},
        {URL: "unix:///run/redis.sock?db=1", OPTIONS: {"db": 2}},
        {"broker_url": "redis://:secret@h:7000/1"},
    ],
)
def test_it_is_where_redbeat_connects(settings):
    assert ours(settings) == theirs(settings)


@pytest.mark.parametrize("sentinels", [None, [], "10.0.0.1:26379", [("10.0.0.1", "port")], [("10.0.0.1",)]])
def test_sentinels_that_are_missing_or_no_pairs_are_refused(sentinels):
    app = Canvas("refused", set_as_current=False, **{URL: "redis-sentinel://h", OPTIONS: {"sentinels": sentinels}})
    with pytest.raises(ConfigurationError, match=r"set redbeat_redis_options to \{'sentinels': "):
        server_of(app)


def test_a_provider_of_credentials_is_refused():
    app = Canvas("refused", set_as_current=False, **{URL: "redis://h", OPTIONS: {"credential_provider": object()}})
    with pytest.raises(ConfigurationError, match="set username and password"):
        server_of(app)
