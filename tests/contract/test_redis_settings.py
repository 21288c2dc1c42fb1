"""URLs and settings of connections to Redis."""

import pytest

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.redis.url import parse
from canvas.errors import BrokerError, ConfigurationError
from canvas.testing.contract import publish
from tests.support.redis_server import RedisServer


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", {"host": "localhost", "port": 6379, "db": 0}),
        ("redis://h:1/3", {"host": "h", "port": 1, "db": 3}),
        ("redis://me:p%40ss@h", {"username": "me", "password": "p@ss", "host": "h"}),
        ("redis://:pw@h/2", {"username": None, "password": "pw", "db": 2}),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", {"ssl": True, "options": {"ssl_cert_reqs": "none"}}),
        ("redis+socket:///tmp/r.sock?virtual_host=4", {"path": "/tmp/r.sock", "db": 4}),
        ("unix:///tmp/r.sock?db=5&password=x", {"path": "/tmp/r.sock", "db": 5, "password": "x"}),
        ("redis://h?socket_timeout=3&health_check_interval=7", {"options": {"socket_timeout": 3.0, "health_check_interval": 7.0}}),
    ],
)  # fmt: skip
def test_urls(url, expected):
    found = parse(url, {})
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("settings", "broker", "results"),
    [
        ({"broker_use_ssl": {"ssl_cert_reqs": "CERT_NONE"}}, {"ssl": True, "ssl_cert_reqs": "none"}, {"ssl": False}),
        ({"redis_backend_use_ssl": True}, {"ssl": False}, {"ssl": True}),
        ({"broker_transport_options": {"socket_timeout": 3, "client_name": "me"}}, {"socket_timeout": 3, "client_name": "me"}, {}),
        ({"redis_socket_timeout": 4.0, "redis_socket_keepalive": True}, {}, {"socket_timeout": 4.0, "socket_keepalive": True}),
        ({"result_backend_transport_options": {"health_check_interval": 5}}, {}, {"health_check_interval": 5}),
    ],
)  # fmt: skip
def test_settings_of_connections(settings, broker, results):
    app = Canvas("settings", broker="redis://h/0", backend="redis://h/1", **settings)
    for link, expected in (app.driver.broker.link, broker), (app.driver.results.link, results):
        # A third of the time in which a worker has to be heard of.
        address, wanted = link.address, {"socket_timeout": 10.0, **expected}
        assert address.ssl is wanted.pop("ssl", False)
        assert address.options == wanted


def test_sentinels_have_options_of_their_own():
    options = {"master_name": "m", "sentinel_kwargs": {"password": "secret"}, "min_other_sentinels": 1}
    found = parse("sentinel://:master@a:1/2", options)
    assert (found.password, found.options) == ("master", {})
    assert found.sentinel_options == {"password": "secret", "min_other_sentinels": 1}
    assert "secret" not in repr(found)


def test_sentinel_urls_as_celery_writes_them():
    url = "sentinel://:pw@a:26379/1;sentinel://b:26380"
    found = parse(url, {"master_name": "main", "sentinel_kwargs": {"x": 1}})
    assert (found.sentinels, found.master, found.db, found.password) == ((("a", 26379), ("b", 26380)), "main", 1, "pw")
    with pytest.raises(ConfigurationError, match="master_name"):
        parse(url, {})


@pytest.mark.parametrize("url", ["redis://h/x", "http://h", "redis://h:port/0", "redis://h:99999/0"])
def test_bad_urls_are_refused_without_their_password(url):
    with pytest.raises(ConfigurationError) as caught:
        parse(url.replace("//h", "//me:hunter2@h"), {})
    assert "hunter2" not in str(caught.value)


def test_the_password_is_in_no_repr():
    assert "hunter2" not in repr(parse("redis://me:hunter2@h", {}))


def test_a_password_that_the_server_does_not_ask_for(redis_server):
    """As with redis-py 8: the default user of such a server takes any password."""
    for login in (":unasked", "default:unasked"):
        url = f"redis://{login}@127.0.0.1:{redis_server.port}/0"
        driver = open_driver(url, url)
        driver.broker.publish([publish("a")])
        driver.results.get(["a"])
        assert driver.admin.queue_length("q") == 1
        driver.admin.purge("q")
        driver.close()


def test_a_password_is_used():
    with RedisServer("--requirepass", "hunter2") as server:
        good, bad = (f"redis://:{word}@127.0.0.1:{server.port}/0" for word in ("hunter2", "wrong"))
        driver = open_driver(good, good)
        driver.broker.publish([publish("a")])
        assert driver.admin.queue_length("q") == 1
        with pytest.raises(BrokerError, match="refused") as caught:
            open_driver(bad, bad).admin.queue_length("q")
        assert "wrong" not in str(caught.value)
