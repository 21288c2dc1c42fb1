"""``rpc://`` results on each broker that carries them: what they cannot do, and what a list in Redis goes through."""

import logging
import os
import time
from urllib.parse import urlsplit

import pytest

from canvas import Canvas, chord, group
from canvas.drivers import open_driver
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import Lease
from canvas.errors import BrokerError, ConfigurationError, NoResultBackend, OperationalError
from canvas.model.message import EncodedMessage
from canvas.model.settlement import ResultWrite, Settlement
from canvas.testing.contract import eventually, ids, publish
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.rabbit_bench import ByteProxy, through

EMPTY_FOR = 60
"""Seconds of ``result_expires``."""
ONE_TRY = {"socket_timeout": 1, "max_retries": 0}


@pytest.fixture(params=["rabbitmq", "redis"])
def broker(request):
    return (
        request.getfixturevalue("rabbitmq").url()
        if request.param == "rabbitmq"
        else request.getfixturevalue("redis_url")
    )


@pytest.fixture
def replies(redis_url):
    """A client's app on Redis, which has named its list."""
    app = Canvas("replies", broker=redis_url, backend="rpc://", result_expires=EMPTY_FOR)
    assert app.oid
    yield app
    app.close()


def record(task_id, value):
    return b'{"status": "SUCCESS", "result": %d, "traceback": null, "children": [], "task_id": "%b"}' % (
        value,
        task_id.encode(),
    )


def write(task_id, value, reply_to=""):
    return ResultWrite(task_id, record(task_id, value), EMPTY_FOR, True, reply_to=reply_to)


def sent_by(app, driver, task_id):
    """The delivery of a task whose sender is ``app``."""
    message = driver.broker.codec.decode(publish(task_id).payload)
    payload = ENVELOPE.encode(message._replace(properties={**message.properties, "reply_to": app.oid}), "", "q")
    driver.broker.publish([publish(task_id)._replace(payload=payload)])
    (held,) = driver.broker.lease(Lease("w", ["q"], 1))
    return held


def test_what_rpc_results_cannot_do_is_refused_by_name(broker):
    app = Canvas("rpc", broker=broker, backend="rpc://")
    add = app.task(name="rpc.add")(lambda x, y=1: x + y)
    with pytest.raises(NoResultBackend, match="this process has sent none"):
        _ = app.AsyncResult("somewhere").state
    with pytest.raises(NoResultBackend, match=r"a chord needs .* \(rpc:// counts none\)"):
        chord([add.s(1), add.s(2)], add.s(3)).delay()
    with pytest.raises(NoResultBackend, match=r"a chord needs .* \(rpc:// counts none\)"):
        (add.s(1) | chord([add.s(2)], add.s())).delay()
    sent = group(add.s(1), add.s(2)).delay()
    with pytest.raises(NoResultBackend, match="keep no GroupResult"):
        sent.save()
    app.close()


@pytest.mark.parametrize("url", ["redis+cluster://localhost", "unheard://"])
def test_brokers_that_carry_no_results_are_named(url):
    with pytest.raises(ConfigurationError, match=r"RabbitMQ, as the broker|no driver for scheme 'unheard'"):
        open_driver(url, "rpc://")


def test_a_result_leaves_with_the_ack_and_only_while_the_lease_holds(replies, redis_url, redis_server):
    worker = replies.driver
    held = sent_by(replies, worker, "once")
    end = Settlement(held, stores=[write("once", 7)], publishes=[publish("next", "next")])
    assert worker.settler.settle([end]).verdicts[0].held
    assert not worker.settler.settle([end]).verdicts[0].held
    assert redis_server.client(0).llen(replies.oid) == 1
    assert ids(worker.broker.lease(Lease("w", ["next"], 5))) == ["next"]
    assert replies.AsyncResult("once").get(timeout=10) == 7
    eventually(lambda: redis_server.client(0).llen(replies.oid) == 0)


def test_a_list_that_no_process_reads_expires(replies, redis_server):
    worker, redis = replies.driver, redis_server.client(0)
    held = sent_by(replies, worker, "one")
    worker.settler.settle([Settlement(held, stores=[write("one", 1)])])
    assert 0 < redis.ttl(replies.oid) <= EMPTY_FOR
    worker.results.store([write("two", 2, "gone")])
    assert 0 < redis.ttl("gone") <= EMPTY_FOR
    worker.results.store([write("three", 3)])
    assert not redis.exists("")


def test_the_list_ends_with_its_app(redis_url, redis_server):
    app = Canvas("replies", broker=redis_url, backend="rpc://")
    app.driver.results.store([write("one", 1, app.oid)])
    assert redis_server.client(0).exists(app.oid)
    app.close()
    assert not redis_server.client(0).exists(app.oid)


def test_a_connection_cut_at_each_call_loses_no_result(redis_url, redis_server):
    """Between the reading of results, and their removal from the list."""
    cuts = iter(["LRANGE", "LTRIM", "BLMOVE", "LTRIM"])
    following = [next(cuts)]

    def on_request(request):
        if request.name == following[0]:
            following[0] = next(cuts, "")
            proxy.cut()

    with Proxy(redis_server.port, on_request) as proxy:
        app = Canvas("replies", broker=proxy.url(0), backend="rpc://")
        other = open_driver(redis_url, "rpc://", result_options={"queue": lambda: app.oid})
        for n in range(200):
            other.results.store([write(f"id{n}", n, app.oid)])
            if n % 20 == 0:
                assert app.AsyncResult(f"id{n}").get(timeout=20) == n
        assert [app.AsyncResult(f"id{n}").get(timeout=20) for n in range(200)] == list(range(200))
        assert not following[0]
        app.close()
        other.close()


def test_results_are_read_once_the_broker_is_back(broker):
    """The first look fails; the later ones do not."""
    port = urlsplit(broker).port
    with ByteProxy(port) as proxy:
        url = through(broker, proxy)
        app = Canvas("replies", broker=url, backend="rpc://", broker_transport_options=ONE_TRY)
        sent = app.task(name="rpc.add")(lambda x, y=1: x + y).delay(1)
        proxy.lead_to(free_port())
        proxy.cut()
        with pytest.raises(OperationalError):
            sent.get(timeout=15)
        proxy.lead_to(port)
        other = open_driver(broker, "rpc://", result_options={"queue": lambda: app.oid})
        other.results.store([write(sent.id, 2, app.oid)])
        assert eventually(lambda: found(sent), 30) == 2
        other.close()
        app.close()


def found(result):
    """The value, or ``None`` while the broker is not back."""
    try:
        return result.get(timeout=0.5)
    except (BrokerError, TimeoutError):
        return None


def test_what_is_no_result_is_dropped_with_a_warning(replies, redis_server, caplog):
    redis = redis_server.client(0)
    message = EncodedMessage(b"{", "application/json", "utf-8", {}, {"correlation_id": 3})
    for payload in (b"\xff", b"{}", b"[" * 100_000, ENVELOPE.encode(message, "", "x")):
        redis.lpush(replies.oid, payload)
    replies.driver.results.store([write("good", 5, replies.oid)])
    with caplog.at_level(logging.WARNING, "canvas.drivers.redis.rpc.queue"):
        assert replies.AsyncResult("good").get(timeout=10) == 5
    assert sum("is no result, and is dropped" in line for line in caplog.messages) == 3
    eventually(lambda: redis.llen(replies.oid) == 0)


def test_a_forked_process_has_a_list_of_its_own(replies):
    replies.driver.results.store([write("before", 1, replies.oid)])
    assert replies.AsyncResult("before").get(timeout=10) == 1
    inherited = replies.oid
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            own = replies.oid
            replies.driver.results.store([write("child", 2, own)])
            got = replies.AsyncResult("child").get(timeout=10)
            os.write(writing, f"{own != inherited} {got}".encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 100) == b"True 2"
    replies.driver.results.store([write("after", 3, replies.oid)])
    assert replies.AsyncResult("after").get(timeout=10) == 3


def test_waits_take_no_processor_time(replies, redis_server):
    with pytest.raises(Exception, match="timed out"):
        replies.AsyncResult("never").get(timeout=0.1)
    redis = redis_server.client(0)
    before, at = redis.info("commandstats"), time.monotonic()
    eventually(lambda: time.monotonic() - at > 1)
    after = redis.info("commandstats")
    calls = sum(one["calls"] - before.get(name, {"calls": 0})["calls"] for name, one in after.items())
    assert calls < 20
