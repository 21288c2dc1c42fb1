"""Addresses of RabbitMQ, and one clear line for each reason why one cannot be used."""

import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import amqp
import pytest
import redis

from canvas import Canvas
from canvas.config.ignored import ignored_settings
from canvas.drivers import open_driver
from canvas.drivers.amqp.channels.connecting import channel_of
from canvas.drivers.amqp.url import parse
from canvas.drivers.ports.values import Lease
from canvas.errors import ConfigurationError, OperationalError, RefusedError
from canvas.model.message import Publish
from canvas.model.queue import Queue
from canvas.model.settlement import Settlement
from canvas.testing.contract import eventually, ids, publish
from tests.support.interrupted import interrupt
from tests.support.rabbit_bench import ByteProxy, sockets_to, through
from tests.support.redis_server import free_port


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://", {"host": "localhost", "port": 5672, "user": "guest", "password": "guest", "vhost": "/", "ssl": False}),
        ("amqp://h/", {"vhost": "/"}),
        ("amqp://h//", {"vhost": "/"}),
        ("pyamqp://me:p%40ss@h:1/a%2Fb", {"user": "me", "password": "p@ss", "port": 1, "vhost": "a/b"}),
        ("amqp://h/a/b", {"vhost": "a/b"}),
        ("amqps://h", {"port": 5671, "ssl": True}),
        ("amqp://h?heartbeat=5&connect_timeout=3", {"heartbeat": 5.0, "connect_timeout": 3.0}),
    ],
)  # fmt: skip
def test_urls(url, expected):
    (found,) = parse(url, {"heartbeat": 60})
    assert {name: getattr(found, name) for name in expected} == expected


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


def test_several_urls_are_tried_in_turn(rabbitmq, redis_url):
    driver = open_driver(f"amqp://127.0.0.1:{free_port()};{rabbitmq.url()}", redis_url)
    driver.broker.check()
    driver.close()


@pytest.mark.parametrize(("url", "text"), [
    ("amqp://me:p/w@h", "percent-encode"), ("amqp://h:port", "percent-encode"), ("amqp://h?heartbeat=often", "heartbeat: expected seconds"),
    ("amqp://h?heartbeat=-1", "heartbeat: expected seconds, from 0"), ("amqp://h?connect_timeout=99999", "got '99999'"),
])  # fmt: skip
def test_a_url_that_cannot_be_read(url, text, redis_url):
    with pytest.raises(ConfigurationError, match=text):
        open_driver(url, redis_url)


def test_the_state_may_be_elsewhere(rabbitmq, redis_url):
    app = Canvas("apart", broker=rabbitmq.url(), canvas_state=redis_url)
    app.driver.broker.publish([publish("a")])
    assert ids(app.driver.broker.lease(Lease("w", ["q"], 5))) == ["a"]
    assert app.driver.results is None
    app.close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"password": "wrong"}, "refuses user 'guest': the name or the password is wrong"),
        ({"vhost": "nowhere"}, "vhost nowhere not found"),
        ({"user": "norights", "password": "secret"}, "access to vhost .* refused for user 'norights'"),
    ],
)
def test_what_a_broker_refuses(rabbitmq, redis_url, change, text):
    driver = open_driver(rabbitmq.url(**{"vhost": "t0", **change}), redis_url)
    for call in (driver.broker.check, lambda: driver.broker.publish([publish("a")], delays=())):
        with pytest.raises(RefusedError, match=text) as raised:
            call()
        assert "\n" not in str(raised.value)


def test_a_broker_that_is_not_there(redis_url):
    driver = open_driver(f"amqp://127.0.0.1:{free_port()}", redis_url)
    with pytest.raises(OperationalError, match="does not answer"):
        driver.broker.check()


def test_tls_where_there_is_none(rabbitmq, redis_url):
    driver = open_driver(rabbitmq.url("t0").replace("amqp://", "amqps://"), redis_url)
    with pytest.raises(RefusedError, match="use amqp:// if that port has no TLS"):
        driver.broker.check()


def test_no_tls_where_there_is_some(redis_url):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            near, _ = server.accept()
            near.recv(100)
            near.sendall(b"\x15\x03\x01\x00\x02\x02\x46")  # a fatal alert of TLS
            near.close()

        threading.Thread(target=answer, daemon=True).start()
        driver = open_driver(f"amqp://127.0.0.1:{server.getsockname()[1]}", redis_url)
        with pytest.raises(OperationalError, match="use amqps:// if that port expects TLS"):
            driver.broker.check()


def test_without_py_amqp(redis_url):
    program = (
        "import sys; sys.modules['amqp'] = None\nfrom canvas.drivers import open_driver\n"
        "try: open_driver('amqp://', 'redis://')\nexcept Exception as exc: print(type(exc).__name__, exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "ConfigurationError RabbitMQ as a broker needs amqp: pip install 'canvas-workflows[amqp]'\n"


def test_a_queue_with_other_arguments_is_used_as_it_is(rabbitmq, redis_url):
    url = rabbitmq.url()
    first, second = open_driver(url, redis_url), open_driver(url, redis_url)
    first.broker.declare([Queue("ranked", arguments={"x-max-priority": 3})])
    with pytest.warns(UserWarning, match="queue 'ranked' exists with other arguments, and is used as it is"):
        second.broker.declare([Queue("ranked")])
    second.broker.publish([publish("a", "ranked")])
    assert ids(second.broker.lease(Lease("w", ["ranked"], 5))) == ["a"]
    first.close()
    second.close()


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


def test_queues_of_the_types_that_settings_name(rabbitmq, redis_url):
    settings = {
        "task_default_queue_type": "quorum", "task_create_missing_queue_type": "quorum", "task_default_queue": "first",
    }  # fmt: skip
    app = Canvas("types", broker=rabbitmq.url(), backend=redis_url, **settings)
    task = app.task(name="types.none")(print)
    for queue in (None, "second"):
        task.apply_async(queue=queue)
    ranked = Canvas(
        "ranks", broker=app.conf.broker_url, backend=redis_url, task_queue_max_priority=5, task_default_queue="third"
    )
    ranked.task(name="types.none")(print).apply_async(priority=3)
    url = parse(app.conf.broker_url, {})
    with amqp.Connection(f"127.0.0.1:{url[0].port}", virtual_host=url[0].vhost) as connection:
        for queue, arguments in (("first", "x-queue-type"), ("second", "x-queue-type"), ("third", "x-max-priority")):
            with pytest.raises(amqp.PreconditionFailed, match=arguments):
                connection.channel().queue_declare(queue, durable=True, auto_delete=False)
    worker = Lease("w", ["first", "second", "third"], 5)
    assert len(eventually(lambda: app.driver.broker.lease(worker))) == 3
    app.close()
    ranked.close()


def test_a_state_that_is_lost_loses_no_message(rabbitmq, redis_server, redis_url):
    driver = open_driver(rabbitmq.url(), redis_url)
    driver.broker.publish([publish("a")])
    (held,) = driver.broker.lease(Lease("w", ["q"], 1))
    redis_server.client().flushall()
    assert not driver.settler.settle([Settlement(held, publishes=[publish("successor")])]).verdicts[0].held
    (again,) = eventually(lambda: driver.broker.lease(Lease("w", ["q"], 5)))
    assert ids([again]) == ["a"]
    assert driver.settler.settle([Settlement(again)]).verdicts[0].held
    driver.close()


def test_a_message_that_is_held_for_long_is_the_states_alone(rabbitmq, redis_url):
    driver = open_driver(rabbitmq.url(), redis_url, broker_options={"consumer_timeout": 0.1})
    driver.recovery.heartbeat("w1", ["q"], 60)
    driver.broker.publish([publish("settled"), publish("lost"), publish("returned")])
    first, second, third = driver.broker.lease(Lease("w1", ["q"], 3))
    time.sleep(0.06)  # more than half of the timeout
    driver.recovery.heartbeat("w1", ["q"], 60)
    driver.broker.session("w1").close()  # RabbitMQ would deliver again what it has
    assert driver.broker.lease(Lease("w2", ["q"], 5)) == []
    assert driver.settler.settle([Settlement(first, publishes=[publish("successor")])]).verdicts[0].held
    assert driver.broker.release([third]) == 1
    assert driver.recovery.recover_worker("w1") == 1
    found = {}

    def all_came():
        found.update((ids([one])[0], one) for one in driver.broker.lease(Lease("w2", ["q"], 5)))
        return len(found) == 3

    eventually(all_came)
    assert set(found) == {"successor", "lost", "returned"}
    headers = driver.broker.codec.headers_of(found["lost"].payload)
    assert (headers["redelivered"], headers["canvas_delivery_count"]) == (True, 2)
    assert not driver.settler.settle([Settlement(second)]).verdicts[0].held
    assert redis.Redis.from_url(redis_url).keys("canvas:detached:*") == []
    driver.close()


def test_queues_of_remote_control_and_events_are_declared_as_settings_say(rabbitmq, redis_url):
    url = rabbitmq.url()
    settings = {"control_queue_exclusive": False, "control_queue_durable": True, "control_queue_expires": 30,
                "control_queue_ttl": 7, "event_queue_exclusive": False, "event_queue_prefix": "mine", "event_queue_ttl": None}  # fmt: skip
    app = Canvas("inboxes", broker=url, backend=redis_url, **settings)
    bus, (address,) = app.driver.bus, parse(url, {})
    with amqp.Connection(f"{address.host}:{address.port}", virtual_host=address.vhost) as connection:
        with bus.subscribe("box", node="one@here"):
            pass
        arguments = {"x-expires": 30_000, "x-message-ttl": 7_000}
        connection.channel().queue_declare("one@here.box", durable=True, auto_delete=False, arguments=arguments)
        bus.broadcast("box", publish("a").payload)
        with bus.subscribe("box", node="one@here") as inbox:
            assert inbox.next(10) is not None
    app.close()


def test_a_queue_cannot_be_exclusive_and_durable(redis_url):
    app = Canvas("both", broker="amqp://", backend=redis_url, event_queue_durable=True)
    with pytest.raises(ConfigurationError, match="event_queue_exclusive and event_queue_durable"):
        app.driver


@pytest.mark.parametrize(("broker", "ignored"), [("redis://", {"event_queue_ttl": "it is for queues in RabbitMQ"}), ("amqp://", {})])  # fmt: skip
def test_settings_that_are_for_rabbitmq(broker, ignored):
    app = Canvas("told", broker=broker, event_queue_ttl=3)
    assert ignored_settings(app.conf) == ignored


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
        began = time.monotonic()
        with ThreadPoolExecutor(20) as threads:
            list(threads.map(lambda n: driver.broker.publish([publish(str(n))]), range(20)))
        assert time.monotonic() - began < 20 * 0.3
        assert driver.admin.queue_length("q") == 21
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
