"""Redis URLs with characters that should have been percent-encoded, with wrong options, and shown without secrets."""

import pytest

from canvas import Canvas
from canvas.drivers.redis.url import parse
from canvas.errors import ConfigurationError
from canvas.masking import masked_url
from canvas.worker.banner import banner
from canvas.worker.control.replies import broker
from canvas.worker.options import WorkerOptions

PASSWORDS = [
    "12345/6789secret",
    "12#34secret",
    "12?34secret",
    "p[w",
    "p]w",
    "xx!@#321",
    "a@b/secret",
    "a@b?c=secret",
    "[x",
]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("form", ["redis://:{}@h:6379/0", "rediss://me:{}@h/0", "sentinel://:{}@h:26379/0"])
def test_a_password_that_is_not_percent_encoded_is_refused_and_not_shown(password, form):
    with pytest.raises(ConfigurationError, match="percent-encode") as raised:
        parse(form.format(password), {"master_name": "m"})
    assert password[-4:] not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:a;b@h:1/2", ("h", 1, 2, "a;b")), ("redis://:a@b@h", ("h", 6379, 0, "a@b")),
        ("redis://:p%23%2F%3F%40@h/1", ("h", 6379, 1, "p#/?@")), ("redis://h?password=x%26y", ("h", 6379, 0, "x&y")),
        ("redis://h/3?client_name=a@b", ("h", 6379, 3, None)), ("redis://user:100%@h", ("h", 6379, 0, "100%")),
    ],
)  # fmt: skip
def test_what_is_clear_is_taken(url, expected):
    found = parse(url, {})
    assert (found.host, found.port, found.db, found.password) == expected


@pytest.mark.parametrize(
    "url", ["sentinel://a:1;sentinel://b:2", "sentinel://:pw@a:1;b:2", "sentinel://a:1;sentinel://:pw@b:2/0"]
)
def test_several_sentinels(url):
    found = parse(url, {"master_name": "m"})
    assert found.sentinels == (("a", 1), ("b", 2))
    assert found.password == ("pw" if "pw" in url else None)
    assert broker(url)["port"] == 1


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("foo=bar", "unknown option 'foo'; expected one of client_name"), ("max_conections=3", "did you mean max_connections"),
        ("health_check_interval=abc", "health_check_interval: expected a number; got 'abc'"),
        ("max_connections=1.5", "max_connections: expected a whole number"), ("socket_keepalive=2", "expected true or false"),
        ("ssl_cert_reqs=maybe", "expected CERT_NONE"), ("ssl_min_version=9", "expected one of .*TLSv1_2"),
        ("ssl_ca_certs=/no/such.pem", "ssl_ca_certs: there is no file '/no/such.pem'"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(query, text):
    with pytest.raises(ConfigurationError, match=text):
        parse(f"rediss://h/0?{query}", {})


@pytest.mark.parametrize(
    ("tls", "text"),
    [({"cert_reqs": 2}, "'cert_reqs' for Redis; did you mean ssl_cert_reqs"), ({"ca_certs": "/x"}, "did you mean ssl_ca_certs"),
     ({"ssl_ca_certs": "/no/such.pem"}, "no file '/no/such.pem'"), ({"x": 1}, "expected one of ssl_ca_certs")],
)  # fmt: skip
def test_tls_options_of_rabbitmq_and_missing_files_are_named(tls, text):
    with pytest.raises(ConfigurationError, match=text):
        parse("redis://h/0", {"ssl": tls})


@pytest.mark.parametrize("port", ["x", "99999"])
def test_a_port_that_is_none(port):
    with pytest.raises(ConfigurationError, match="port"):
        parse(f"redis://:secret@h:{port}/0", {})


SHOWN = [
    "redis://:12345/6789hushhush@h/0", "redis://:1#hushhush@h", "redis://:1?hushhush@h", "redis://me:a@hushhush@h/0",
    "redis+socket:///tmp/r?password=hushhush&virtual_host=1", "redis+socket:///tmp/r?password=#hushhush", "redis://:[hushhush@h",
    "rediss://h/0?ssl_password=hushhush", "sentinel://:hushhush@a:1;sentinel://:hushhush@b:2", "redis://:a;hushhush@h", "redis://:/hushhush@h",
]  # fmt: skip


@pytest.mark.parametrize("url", SHOWN)
def test_no_password_is_shown_anywhere(url):
    assert "hushhush" not in masked_url(url)
    assert "hushhush" in url
    app = Canvas("shown", broker=url, backend=url, set_as_current=False)
    plan = WorkerOptions("h", ["celery"], 1, "solo", 0, False, None, None, None, False, False, None)
    assert "hushhush" not in banner(app, plan)
    for shown in (repr(app.conf), str(app.conf.as_dict()), app.conf.humanize()):
        assert "hushhush" not in shown


def test_what_is_no_secret_is_shown():
    for url in ("redis://h:6379/0", "redis://me@h/1", "redis+socket:///tmp/r?virtual_host=1", "memory://x"):
        assert masked_url(url) == url
    assert masked_url("redis://me:pw@h:1/0?ssl_ca_certs=/ca.pem") == "redis://me:**@h:1/0?ssl_ca_certs=/ca.pem"
