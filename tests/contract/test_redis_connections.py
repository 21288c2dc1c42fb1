"""Connections of canvas' own to Redis: how they open, what they refuse, and when they are tried before a call."""

import asyncio
import signal
import subprocess
import sys
import threading
import time

import pytest

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.connecting import Connector
from canvas.drivers.redis.url import parse
from canvas.errors import BrokerError, OperationalError
from tests.support.redis_server import RedisServer


@pytest.fixture
def client(redis_url):
    made = []

    def make(url=redis_url, **options):
        made.append(RedisClient(parse(url, options)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_user_logs_in_and_a_wrong_password_is_refused(client, redis_url):
    client().command("ACL", "SETUSER", "eve", "on", ">secret", "~*", "+@all")
    host = redis_url.partition("://")[2]
    assert client(f"redis://eve:secret@{host}").command("ACL", "WHOAMI") == b"eve"
    with pytest.raises(BrokerError, match="refused: WRONGPASS") as refused:
        client(f"redis://eve:wrong@{host}").command("PING")
    assert not isinstance(refused.value, OperationalError)


@pytest.mark.parametrize(("name", "code"), [("min-replicas-to-write", "replicas"), ("maxmemory", "maxmemory")])
def test_a_refusal_that_may_pass_is_waited_for(client, redis_server, name, code):
    admin = redis_server.client()
    before = admin.config_get(name)[name]
    over = threading.Timer(1.0, admin.config_set, (name, before))
    admin.config_set(name, 1)
    try:
        impatient = client(retry_policy={"max_retries": 0})
        with pytest.raises(OperationalError, match=code):
            impatient.command("LPUSH", "refused", 1)
        with pytest.raises(OperationalError, match=code):
            asyncio.run(impatient.acommand("LPUSH", "refused", 1))
        over.start()
        assert client().command("LPUSH", "refused", 1) == 1
    finally:
        admin.config_set(name, before)


def test_a_connection_has_the_name_that_it_is_given(client):
    assert client(client_name="canvas-test").command("CLIENT", "GETNAME") == b"canvas-test"


def test_no_more_connections_are_opened_than_allowed(redis_url):
    connector = Connector(parse(redis_url, {"max_connections": 1}))
    first = connector.connection()
    with pytest.raises(ConnectionError, match="max_connections is 1"):
        connector.connection()
    connector.drop(first)
    connector.drop(connector.connection())


def test_a_connection_is_tried_only_after_a_long_time_without_use(client):
    def pings():
        found = client().command("INFO", "commandstats").decode()
        return [line for line in found.splitlines() if line.startswith("cmdstat_ping:")]

    client().command("CONFIG", "RESETSTAT")
    often, seldom = client(health_check_interval=1e-9), client()
    for one in (seldom, seldom, often):
        one.command("GET", "x")
    assert pings() == []
    often.command("GET", "x")
    assert len(pings()) == 1


def test_a_silent_server_ends_a_call_although_the_system_waits():
    """No call polls before it reads or writes: the socket blocks, and the kernel limits how long."""
    with RedisServer() as server:
        connection = Connector(parse(server.url(), {"socket_timeout": 0.25})).connection()
        assert connection._socket.gettimeout() is None
        server.send_signal(signal.SIGSTOP)
        try:
            for words in (("PING",), ("SET", "x", bytes(20_000_000))):
                started = time.monotonic()
                with pytest.raises(TimeoutError, match="timed out"):
                    connection.send([words])
                    connection.receive()
                assert 0.2 < time.monotonic() - started < 10
        finally:
            server.send_signal(signal.SIGCONT)
            connection.close()


def test_a_publication_that_was_refused_is_refused_again(client):
    """The guard is written first, and deleted again where the message is refused."""
    link = client()
    link.command("SET", "queue", "no list")
    for _ in range(2):
        with pytest.raises(BrokerError, match="WRONGTYPE"):
            link.call("publish", ["guard", "queue"], [1, 1, b"message"])
    link.command("DEL", "queue")
    assert [link.call("publish", ["guard", "queue"], [1, 1, b"message"]) for _ in range(2)] == [1, 0]
    assert link.command("LRANGE", "queue", 0, -1) == [b"message"]


def test_a_word_that_cannot_be_sent_leaves_the_connection_as_it_was(client):
    link = client()
    for word in (None, object(), [1]):
        with pytest.raises(BrokerError, match="cannot be sent to Redis"):
            link.command("SET", "x", word)
    with pytest.raises(BrokerError):
        link.command("SET", "x", "\ud800")
    assert link.command("SET", "x", b"\x00\xff") is True
    assert link.command("GET", "x") == b"\x00\xff"


def test_a_program_sends_and_waits_without_redis_py(redis_url, result_url):
    program = (
        "import sys; from canvas import Canvas\n"
        "app = Canvas('light', broker=sys.argv[1], backend=sys.argv[2])\n"
        "app.send_task('t.none', task_id='one')\n"
        "app.backend.store_result('one', 42, 'SUCCESS')\n"
        "assert app.AsyncResult('one').get(timeout=10) == 42\n"
        "print([name for name in ('redis', 'asyncio', 'ssl') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, redis_url, result_url], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
