"""Addresses of RabbitMQ, and one clear line for each reason why one cannot be used."""

import socket
import ssl
import subprocess
import sys
import threading
import time

import amqp
import pytest
import redis

from canvas import Canvas
from canvas.config.ignored import ignored_settings
from canvas.drivers import open_driver
from canvas.drivers.amqp.url import parse
from canvas.drivers.ports.values import Lease
from canvas.errors import ConfigurationError, OperationalError, RefusedError
from canvas.model.queue import Queue
from canvas.model.settlement import Settlement
from canvas.testing.contract import eventually, ids, publish
from tests.support.redis_server import free_port
from tests.support.tls import TlsFront


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


def test_tls_with_certificates_of_both_sides(rabbitmq, redis_url, tmp_path):
    """As ``broker_use_ssl`` gives them; a channel of a worker, and the connections that publish and declare."""
    with TlsFront(rabbitmq.port, tmp_path, mutual=True) as front:
        mine = {"keyfile": front.certificate, "certfile": front.certificate}
        tls = {**mine, "ca_certs": front.authority, "cert_reqs": ssl.CERT_REQUIRED}
        url = rabbitmq.url().replace("amqp://", "amqps://").replace(f":{rabbitmq.port}", f":{front.port}")
        app = Canvas("tls", broker=url, backend=redis_url, broker_use_ssl=tls, set_as_current=False)
        with app:
            app.driver.broker.declare([Queue("q")])
            app.driver.broker.publish([publish("a", "q")])
            (held,) = app.driver.broker.lease(Lease("w1", ["q"], 1))
            assert app.driver.settler.settle([Settlement(held, publishes=[publish("b", "q")])]).verdicts[0].held
            assert ids(app.driver.broker.lease(Lease("w1", ["q"], 1))) == ["b"]
        untrusted = Canvas("tls", broker=url, backend=redis_url, broker_use_ssl=mine, set_as_current=False)
        with untrusted, pytest.raises(RefusedError, match=r"TLS: .*certificate verify failed"):
            untrusted.driver.broker.publish([publish("a", "q")], ())


def test_results_in_a_cluster_are_no_state():
    with pytest.raises(ConfigurationError, match=r"no Redis Cluster\) or a database.*Set canvas_state"):
        open_driver("amqp://localhost", "redis+cluster://localhost")


def test_rabbitmq_does_not_delete_messages_of_this_client_that_expire(rabbitmq, redis_url):
    """A worker stores REVOKED for them; RabbitMQ would drop them without a word."""
    url = rabbitmq.url()
    with Canvas("expires", broker=url, backend=redis_url, set_as_current=False) as app:
        app.send_task("t.none", expires=60)
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=url.rpartition("/")[2]) as connection:
        message = connection.channel().basic_get("celery", no_ack=True)
    assert message.headers["expires"] and "expiration" not in message.properties


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


def test_a_message_outlives_the_delivery_limit_of_its_queue(rabbitmq, redis_url):
    """RabbitMQ drops a message that was returned more often, whether or not it had started."""
    driver = open_driver(rabbitmq.url(), redis_url)
    driver.broker.declare([Queue("q", arguments={"x-queue-type": "quorum", "x-delivery-limit": 2})])
    driver.broker.publish([publish("a", "q")])
    for _ in range(6):
        held = eventually(lambda: driver.broker.lease(Lease("w1", ["q"], 1)))
        assert ids(held) == ["a"]
        driver.broker.release(held)
    driver.close()


def test_a_wait_ends_when_its_queue_is_deleted(rabbitmq, redis_url):
    """The queue is made again before a client sends the next message, and does not wait until the wait is over."""
    url = rabbitmq.url()
    driver = open_driver(url, redis_url)
    driver.broker.declare([Queue("q")])
    waiting = threading.Thread(target=driver.broker.wait, args=("w1", ["q"], 60))
    waiting.start()
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=url.rpartition("/")[2]) as connection:
        channel = connection.channel()
        eventually(lambda: channel.queue_declare("q", passive=True).consumer_count == 1)
        channel.queue_delete("q")
        waiting.join(20)
        assert not waiting.is_alive()
        assert driver.broker.lease(Lease("w1", ["q"], 1)) == []
        assert channel.queue_declare("q", passive=True).message_count == 0
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


def test_no_worker_takes_tasks_from_a_stream(rabbitmq, redis_url):
    """Neither from one that its settings declare nor from one that it finds. Clients may send to it."""
    url = rabbitmq.url()
    for found in (Queue("log", arguments={"x-queue-type": "stream"}), Queue("log")):
        driver = open_driver(url, redis_url)
        with pytest.raises(RefusedError, match=r"queue 'log' is a stream.*give it the x-queue-type classic or quorum"):
            driver.broker.declare([found])
        driver.broker.publish([publish("a", "log")])
        driver.close()
