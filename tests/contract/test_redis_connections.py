"""Connections of canvas' own to Redis: how they open, what they refuse, and when they are tried before a call."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.drivers.redis.connection import pauses
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.connecting import Connector
from canvas.drivers.redis.url import parse
from canvas.errors import BrokerError, OperationalError
from canvas.testing.contract import eventually, ids, publish
from tests.support.process_signals import resume, suspend
from tests.support.redis_server import RedisServer
from tests.support.tls import TlsFront


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
        patient = client(retry_policy={"max_retries": 100})
        assert patient.command("LPUSH", "refused", 1) == 1
    finally:
        over.cancel()
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
        suspend(server.process.pid)
        try:
            for words in (("PING",), ("SET", "x", bytes(20_000_000))):
                started = time.monotonic()
                with pytest.raises(TimeoutError, match="timed out"):
                    connection.send([words])
                    connection.receive()
                assert 0.2 < time.monotonic() - started < 10
        finally:
            resume(server.process.pid)
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


def test_an_unreachable_server_is_said_by_name():
    driver = open_driver("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/1")
    with pytest.raises(OperationalError, match=r"127\.0\.0\.1:1"):
        driver.broker.publish([publish("a")])


def test_the_server_may_restart(driver, monkeypatch):
    monkeypatch.setattr(pauses, "TRIES", 60)  # a busy machine starts it later than the usual ones last
    with RedisServer() as server:
        driver = open_driver(server.url(0), server.url(1))
        driver.broker.publish([publish("a")])
        server.stop()
        timer = threading.Timer(0.5, server.start)
        timer.start()
        driver.broker.publish([publish("b")])
        timer.join()
        assert driver.admin.queue_length("q") == 1


def test_a_forked_child_makes_connections_of_its_own(driver, redis_server):
    driver.broker.publish([publish("parent")])
    pid = os.fork()
    if pid == 0:
        try:
            driver.broker.publish([publish("child")])
            os._exit(0 if driver.admin.queue_length("q") == 2 else 1)
        except BaseException:  # noqa: BLE001 - a forked child must not return into pytest
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert driver.admin.queue_length("q") == 2


def test_an_idle_connection_that_was_cut_is_not_used_again(driver, redis_server):
    """Not even by a call that is made only once."""
    driver.broker.publish([publish("a")])
    redis_server.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    driver.broker.publish([publish("b")], delays=())
    assert ids(driver.broker.lease(Lease("w", ["q"], 2))) == ["a", "b"]


@pytest.mark.parametrize("transaction", [False, True])
def test_one_refused_command_does_not_shift_the_answers_of_the_next(driver, redis_server, transaction):
    link = driver.broker.link
    commands = [("SET", "text", "x"), ("LPUSH", "text", "y"), ("GET", "text"), ("NONSENSE",)][: 4 - transaction]
    watcher = redis_server.client()
    before = {c["id"] for c in watcher.client_list()}
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        link.pipeline(commands, transaction=transaction)
    assert link.command("GET", "text") == b"x"
    assert link.pipeline([("GET", "text"), ("SET", "text", "z"), ("GET", "text")], transaction) == [b"x", True, b"z"]
    with pytest.raises(BrokerError, match="unknown command"):
        link.pipeline([("GET", "text"), ("NONSENSE",)], transaction=transaction)
    assert link.command("GET", "text") == b"z"
    assert len({c["id"] for c in watcher.client_list()} - before) <= 1


def test_who_waits_for_a_chord_is_sent_its_body_only(redis_server, redis_url, result_url):
    app = Canvas("w", broker=redis_url, backend=result_url)
    header = app.GroupResult("g", [app.AsyncResult("m1"), app.AsyncResult("m2")])
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(app.AsyncResult("body", parent=header).get, timeout=30)
        listening = redis_server.client()
        channels = [f"celery-task-meta-{task_id}".encode() for task_id in ("body", "m1", "m2")]
        eventually(lambda: listening.pubsub_numsub(*channels) == [(channels[0], 1), (channels[1], 0), (channels[2], 0)])
        app.backend.store_result("m1", "x" * 100_000, "SUCCESS")
        app.backend.store_result("m2", KeyError("gone"), "REVOKED")
        with pytest.raises(KeyError):
            waiting.result(30)
    app.close()


def test_waiting_again_and_again_listens_on_one_connection(driver, redis_server, redis_url, result_url):
    app, server = Canvas("w", broker=redis_url, backend=result_url), redis_server.client()

    def subscribed():
        return {client["id"] for client in server.client_list(_type="pubsub")}

    others = subscribed()

    def wait(number):
        with ThreadPoolExecutor(1) as client:
            waiting = client.submit(app.AsyncResult(f"t{number}").get, timeout=30)
            channel = f"celery-task-meta-t{number}".encode()
            eventually(lambda: server.pubsub_numsub(channel) == [(channel, 1)])
            listening = subscribed() - others
            app.backend.store_result(f"t{number}", number, "SUCCESS")
            assert waiting.result(30) == number
        eventually(lambda: server.pubsub_numsub(channel) == [(channel, 0)])
        return listening

    first = wait(0)
    assert len(first) == 1
    assert [wait(number) for number in range(1, 6)] == [first] * 5
    assert [app.AsyncResult(f"t{number}").get(timeout=10) for number in range(6)] == list(range(6))
    server.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    server.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
    wait(7)
    app.close()


def test_the_first_calls_of_many_threads(redis_server, tmp_path):
    """They share what is made at the first call."""
    with TlsFront(redis_server.port, tmp_path) as tls, ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            client, together = RedisClient(parse(tls.url(0), {})), threading.Barrier(8)

            def first(client=client, together=together):
                together.wait(60)
                return client.command("PING", retry=False)

            assert {future.result(60) for future in [threads.submit(first) for _ in range(8)]} <= {b"PONG", True}
            client.close()
