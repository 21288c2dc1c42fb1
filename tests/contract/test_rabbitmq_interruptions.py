"""Connections to RabbitMQ that are slow, cut, or refused: what is sent arrives, and is settled once."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import amqp
import pytest

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.amqp.channels.connecting import channel_of
from canvas.drivers.amqp.url import parse
from canvas.drivers.ports.values import Lease
from canvas.model.message import Publish
from canvas.model.queue import Queue
from canvas.model.settlement import Settlement
from canvas.testing.contract import eventually, ids, publish
from tests.support.interrupted import interrupt
from tests.support.rabbit_bench import ByteProxy, sockets_to, through
from tests.support.timing import quickest


def test_no_connection_ends_because_the_broker_reads_nothing_for_a_while(rabbitmq, redis_url):
    """Those of a client, a worker, declarations, broadcasts, dead letters and results."""
    url, others = rabbitmq.url(), set(sockets_to(rabbitmq.port))
    driver, client = open_driver(url, redis_url), Canvas("replies", broker=url, backend="rpc://")

    def opened():
        found = [one for port, one in sockets_to(rabbitmq.port).items() if port not in others]
        return found if len(found) == 8 else []

    driver.broker.publish([publish("a", "q")])
    client.task(name="replies.none")(print).delay().state
    driver.broker.lease(Lease("w", ["q"], 1))
    with driver.bus.subscribe("box"), channel_of(driver.broker.addresses, 30):
        found = eventually(opened)
        assert {one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) for one in found} == {0}
        assert {one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) for one in found} == {3}
        assert {one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for one in found} == {1}
    for one in found:
        one.close()
    driver.close()
    client.close()


def test_what_a_lost_connection_held_comes_again_and_is_settled_once(rabbitmq, redis_url):
    url = rabbitmq.url()
    with ByteProxy(int(url.rpartition(":")[2].partition("/")[0])) as proxy:
        cut, other = open_driver(through(url, proxy), redis_url), open_driver(url, redis_url)
        cut.broker.publish([publish("settled"), publish("taken over")])
        first, second = cut.broker.lease(Lease("w1", ["q"], 2))
        proxy.cut()
        sent = Settlement(first, publishes=[publish("successor", "next")])
        assert cut.settler.settle([sent]).verdicts[0].held
        (again,) = eventually(lambda: other.broker.lease(Lease("w2", ["q"], 5)))
        assert ids([again]) == ["taken over"]
        assert not cut.settler.settle([Settlement(second)]).verdicts[0].held
        assert other.settler.settle([Settlement(again)]).verdicts[0].held
        found = eventually(lambda: other.broker.lease(Lease("w2", ["next"], 5)))
        assert ids(found) == ["successor"]
        assert other.broker.lease(Lease("w2", ["q", "next"], 5)) == []
        cut.close()
        other.close()


@pytest.mark.parametrize("payload", [publish("late").payload, b"bytes of another program"], ids=["message", "bytes"])
def test_a_message_that_a_full_queue_refuses_is_sent_when_there_is_room(rabbitmq, redis_url, payload):
    url = rabbitmq.url()
    (address,) = parse(url, {})
    driver = open_driver(url, redis_url)
    with amqp.Connection(f"{address.host}:{address.port}", virtual_host=address.vhost) as connection:
        limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
        connection.channel().queue_declare("full", durable=True, auto_delete=False, arguments=limits)
        driver.broker.publish([publish("first"), publish("early", "full")])
        (held,) = driver.broker.lease(Lease("w", ["q"], 1))
        assert driver.settler.settle([Settlement(held, publishes=[Publish("", "full", 0, payload)])]).verdicts[0].held
        assert driver.settler.settle([], Lease("w", ["q"], 1)).leased.deliveries == []
        connection.channel().queue_purge("full")
        found = eventually(lambda: driver.settler.settle([], Lease("w", ["full"], 1)).leased.deliveries)
    assert payload in found[0].payload or ids(found) == ["late"]
    driver.close()


class SlowProxy(ByteProxy):
    """A proxy that passes on what clients send a while later."""

    def _requests(self, near, far, answers):
        while got := near.recv(1 << 16):
            time.sleep(0.3)
            far.sendall(got)


def test_threads_wait_for_their_confirms_together(rabbitmq, redis_url):
    url = rabbitmq.url()
    with SlowProxy(parse(url, {})[0].port) as proxy:
        driver = open_driver(through(url, proxy), redis_url)
        driver.broker.publish([publish("first")])

        def confirmed_in():
            began = time.monotonic()
            with ThreadPoolExecutor(20) as threads:
                list(threads.map(lambda n: driver.broker.publish([publish(str(n))]), range(20)))
            return time.monotonic() - began

        assert quickest(confirmed_in, 20 * 0.3) < 20 * 0.3
        assert driver.admin.queue_length("q") % 20 == 1
        driver.close()


def test_threads_that_share_a_connection_send_again_when_it_is_cut(rabbitmq, redis_url):
    url = rabbitmq.url()
    with ByteProxy(parse(url, {})[0].port) as proxy:
        driver = open_driver(through(url, proxy), redis_url)
        with ThreadPoolExecutor(8) as threads:
            sent = [threads.submit(driver.broker.publish, [publish(f"{n}", f"made{n % 3}")]) for n in range(200)]
            for _ in range(3):
                proxy.cut()
            for one in sent:
                one.result(30)
        worker, found = Lease("w", ["made0", "made1", "made2"], 1000), set()

        def all_came():
            found.update(ids(driver.broker.lease(worker)))
            return found == {str(n) for n in range(200)}

        eventually(all_came)
        driver.close()


class CutsDeclarations(ByteProxy):
    """Cuts the connections that declare a queue, the first ``times``."""

    times = 4
    _QUEUE_DECLARE = b"\x00\x32\x00\x0a"

    def _requests(self, near, far, answers):
        while got := near.recv(1 << 16):
            if self._QUEUE_DECLARE in got and self.times:
                self.times -= 1
                return self.cut()
            far.sendall(got)


@pytest.mark.parametrize(
    "queue", [None, Queue("declared.first")], ids=["made when a message returns", "declared first"]
)
def test_a_message_whose_queue_cannot_be_declared_at_once_is_sent(rabbitmq, redis_url, queue):
    url = rabbitmq.url()
    with CutsDeclarations(parse(url, {})[0].port) as proxy:
        driver = open_driver(through(url, proxy), redis_url)
        driver.broker.publish([publish("a", "declared.first")._replace(queue=queue)])
        assert not proxy.times
        assert driver.admin.queue_length("declared.first") == 1
        driver.close()


@pytest.mark.parametrize("what", ["lengths", "sends"])
def test_a_signal_may_interrupt_a_call(rabbitmq, what):
    """Its handler raises, as at a soft time limit or Ctrl-C. The next call does not take the answer for its own, nor
    wait for what is lost."""
    assert interrupt(what, rabbitmq.url()) == 0
