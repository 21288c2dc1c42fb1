"""Faults of RabbitMQ under a worker: alarms, timeouts, queues and vhosts that are deleted. Each task ends once."""

import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import amqp
import pytest

from canvas import Canvas, chord, group
from canvas.drivers import open_driver
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import Lease
from canvas.errors import BrokerError, ChordError, EncodeError, OperationalError
from canvas.model.message import Publish
from canvas.model.settlement import Settlement
from canvas.testing.contract import eventually, ids, publish
from canvas.testing.worker import start_worker
from tests.chaos.test_rabbitmq import own_node
from tests.support.process_signals import resume, suspend
from tests.support.processes import members
from tests.support.rabbit_bench import RabbitBench, sockets_to
from tests.support.rabbitmq import RabbitMQNode
from tests.support.redis_server import RedisServer
from tests.support.sql_bench import SqlBench
from tests.worker.commands import start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
MOST_BYTES = 1_500_000
CONFIGURED = {
    "configuration": f"max_message_size = {MOST_BYTES}\n",
    "advanced": "[{rabbit,[{channel_tick_interval,1000}]}].",
}


@pytest.fixture(scope="module")
def node():
    with tempfile.TemporaryDirectory() as folder:
        node = RabbitMQNode(folder, **CONFIGURED).start()
        yield node
        node.stop()


@pytest.fixture
def bench(node, request):
    with RedisServer() as server:
        numbers = {"dead_letter_routing_key": 10, "alarm": 0, "timeout": 1, "deleted_under": 2, "vhost": 3, "full_queue": 4, "connections": 6,
                   "permissions": 7, "policy": 8, "too_large": 9}  # fmt: skip
        number = next(number for name, number in numbers.items() if name in request.node.name)
        yield RabbitBench(server, node.url(f"t{number}"))


@pytest.mark.parametrize(
    ("alarm", "over", "said"),
    [(("set_vm_memory_high_watermark", "absolute", "1MB"), ("set_vm_memory_high_watermark", "absolute", "1GB"), "memory"),
     (("set_disk_free_limit", "999GB"), ("set_disk_free_limit", "16MB"), "disk")],
    ids=["memory", "disk"],
)  # fmt: skip
def test_an_alarm_delays_tasks(node, bench, alarm, over, said, caplog):
    with bench.client() as app, start(bench, "-P", "threads", "-c", "2") as worker, ThreadPoolExecutor(1) as threads:
        assert app.tasks["t.add"].delay(1, 1).get(timeout=60) == 2
        key = bench.new_key()
        held = (app.tasks["t.until_open"].s(key) | app.tasks["t.noted"].s(f"{key}:after")).apply_async()
        eventually(lambda: app.driver.admin.in_flight().leased == 1)
        try:
            node.control(*alarm)
            eventually(lambda: said in node.control("eval", "rabbit_alarm:get_alarms()."), 30)
            bench.open(key)
            worker.wait_for(f"takes no messages: low on {said}")
            time.sleep(3)
            assert bench.ledger(f"{key}:after", 0) == []
            sent = threads.submit(app.tasks["t.add"].delay, 2, 2)
            eventually(lambda: f"takes no messages: low on {said}. Calls that send messages wait" in caplog.text, 30)
            assert not sent.done()
        finally:
            node.control(*over)
        assert sent.result(60).get(timeout=60) == 4
        worker.wait_for("The broker answers again")
        held.get(timeout=60)
        assert bench.ledger(f"{key}:after", 1) == [repr(key)]


@pytest.fixture
def short_timeout(node):
    """RabbitMQ lets a channel that is opened now hold a message for 3 seconds. Other tests, whose steps take longer on a
    busy machine, have its usual half hour."""
    set_timeout = "application:set_env(rabbit, consumer_timeout, {})."
    node.control("eval", set_timeout.format(3_000))
    yield
    node.control("eval", set_timeout.format(1_800_000))


def test_a_task_that_takes_longer_than_the_consumer_timeout_runs_once(short_timeout, bench):
    settings = {"consumer_timeout": 3, "short_leases": 1}
    with bench.client() as app, start(bench, "-P", "threads", "-c", "2", **settings) as worker:
        key = bench.new_key()
        result = app.tasks["t.until_open"].delay(key)
        eventually(lambda: app.driver.admin.in_flight().leased == 1)
        time.sleep(9)
        bench.open(key)
        assert result.get(timeout=60) == key
        assert app.tasks["t.add"].delay(1, 1).get(timeout=60) == 2
        assert "has closed the channel" not in "".join(worker.log)


def test_a_queue_that_is_deleted_under_its_consumer_is_made_again(node, bench):
    with bench.client() as app, start(bench, "-P", "solo"):
        assert app.tasks["t.add"].delay(1, 1).get(timeout=60) == 2
        with amqp.Connection(f"127.0.0.1:{node.port}", virtual_host="t2") as connection:
            connection.channel().queue_delete("celery")
        assert app.tasks["t.add"].delay(2, 2).get(timeout=60) == 4


@pytest.mark.parametrize("state", ["redis", "sql"])
def test_a_worker_goes_on_whose_messages_do_not_fit_into_a_full_queue(node, bench, state, request):
    """The queue is full because the worker is to empty it."""
    if state == "sql":
        bench = SqlBench(node.url("t5"), request.getfixturevalue("postgres").new_database(), bench.server)
    with amqp.Connection(f"127.0.0.1:{node.port}", virtual_host=bench.url.rpartition("/")[2]) as connection:
        limits = {"x-max-length": 4, "x-overflow": "reject-publish"}
        connection.channel().queue_declare("celery", durable=True, auto_delete=False, arguments=limits)
    key = bench.new_key()
    with bench.client() as app, start(bench, "-P", "threads", "-c", "2") as worker:
        fork = app.tasks["t.ident"].s(1) | group(app.tasks["t.noted"].s(key) for _ in range(20))
        assert fork.delay().get(timeout=120) == [1] * 20
        worker.wait_for("RabbitMQ takes no messages for celery: the queue is full")
        with pytest.raises(OperationalError, match="its queue is full"):
            for _ in range(50):
                app.tasks["t.until_open"].apply_async((key,), retry=False)
        bench.open(key)
        eventually(lambda: app.driver.admin.queue_length("celery") == 0)
    assert len(bench.notes(key)) >= 20


def _large(task_id):
    """A message of 100 kB."""
    message = ENVELOPE.decode(publish(task_id, "large").payload)
    return Publish("", "large", 0, ENVELOPE.encode(message._replace(body=b"x" * 100_000), "", "large"))


def test_a_broker_that_reads_nothing_for_a_while_cuts_no_connection(redis_url):
    """It is stopped while a client and a worker send more than the buffers of their connections hold."""
    count = 300
    with own_node() as node, ThreadPoolExecutor(2) as threads:
        client, worker = (open_driver(node.url("t0"), redis_url) for _ in range(2))
        client.broker.publish([publish("first", "large"), *(publish(f"cause{n}", "causes") for n in range(count))])
        held = worker.broker.lease(Lease("w", ["causes"], count))
        assert len(held) == count
        sent = [Settlement(one, publishes=[_large(f"settled{n}")]) for n, one in enumerate(held)]
        before = set(sockets_to(node.port))
        suspend(*members(node.pid))
        calls = [
            threads.submit(client.broker.publish, [_large(f"sent{n}") for n in range(count)], ()),
            threads.submit(worker.settler.settle, sent),
        ]
        time.sleep(3)
        resume(*members(node.pid))
        _, settled = (call.result(60) for call in calls)
        assert all(verdict.held for verdict in settled.verdicts)
        assert before <= set(sockets_to(node.port))
        found = Counter(ids(client.broker.lease(Lease("v", ["large"], 3 * count))))
        assert found == Counter(["first", *(f"{kind}{n}" for kind in ("sent", "settled") for n in range(count))])
        assert client.admin.queue_length("causes") == 0
        for driver in (client, worker):
            driver.close()


def test_a_vhost_that_is_deleted_and_comes_back(node, bench):
    with bench.client() as app, start(bench, "-P", "solo"):
        assert app.tasks["t.add"].delay(1, 1).get(timeout=60) == 2
        node.control("delete_vhost", "t3")
        time.sleep(2)
        node.control("add_vhost", "t3")
        node.control("set_permissions", "-p", "t3", "guest", ".*", ".*", ".*")
        app.close()
        assert app.tasks["t.add"].delay(2, 2).get(timeout=60) == 4


def test_a_worker_waits_while_the_limit_of_connections_is_reached(node, bench):
    node.control("set_vhost_limits", "-p", "t6", '{"max-connections": 0}')
    with bench.client() as app, pytest.raises(OperationalError, match="connection limit"):
        app.tasks["t.add"].apply_async((1, 1), retry=False)
    worker = start(bench, "-P", "solo")
    try:
        worker.wait_for("connection limit (0) is reached. Trying again in 2.00 seconds")
        node.control("clear_vhost_limits", "-p", "t6")
        worker.ready()
    finally:
        worker.stop()


def test_permissions_that_are_taken_and_given_back(node, bench):
    """RabbitMQ looks at them when a connection is new. The worker tries again until it may."""
    with bench.client() as app, start(bench, "-P", "threads", "-c", "2") as worker:
        assert app.tasks["t.add"].delay(1, 1).get(timeout=60) == 2
        node.control("set_permissions", "-p", "t7", "guest", "^$", "^$", "^$")
        node.control("close_all_connections", "--vhost", "t7", "a test")
        with pytest.raises(OperationalError, match="ACCESS_REFUSED"):
            app.tasks["t.add"].apply_async((2, 2), retry=False)
        worker.wait_for("ACCESS_REFUSED")
        node.control("set_permissions", "-p", "t7", "guest", ".*", ".*", ".*")
        assert app.tasks["t.add"].delay(3, 3).get(timeout=60) == 6


def test_a_policy_that_lets_messages_expire(node, bench):
    """It is good for the queues of delays, too: their messages come early, and are delayed for the rest. A message that
    waits for longer goes where the policy sends it."""
    connection = {"host": f"127.0.0.1:{node.port}", "virtual_host": "t8"}
    with amqp.Connection(**connection) as opened:
        channel = opened.channel()
        channel.exchange_declare("expired", "fanout", durable=True, auto_delete=False)
        channel.queue_declare("buried", durable=True, auto_delete=False)
        channel.queue_bind("buried", "expired", "")
    policy = '{"message-ttl": 1000, "dead-letter-exchange": "expired"}'
    node.control("set_policy", "-p", "t8", "short", "^c", policy)
    with bench.client() as app:
        with start(bench, "-P", "threads", "-c", "2"):
            began = time.monotonic()
            assert app.tasks["t.add"].apply_async((1, 1), countdown=4).get(timeout=60) == 2
            assert time.monotonic() - began >= 4
        app.tasks["t.add"].delay(2, 2)
        with amqp.Connection(**connection) as opened:
            channel = opened.channel()
            eventually(lambda: channel.queue_declare("buried", passive=True).message_count == 1, 30)


def test_a_dead_letter_routing_key_for_all_queues_moves_delayed_messages_and_one_without_canvas_does_not(node, bench):
    def set_policy(pattern):
        node.control("set_policy", "-p", "t10", "moves", pattern, '{"dead-letter-routing-key": "other"}')

    set_policy(".*")
    with bench.client() as app, start(bench, "-P", "solo", "-Q", "celery"):
        app.driver.broker.declare(app.router.consumed(["other"]))
        moved = app.tasks["t.add"].apply_async((1, 1), countdown=2)
        eventually(lambda: app.driver.admin.queue_length("other") == 1, 30)
        assert moved.state == "PENDING"
        set_policy(r"^(?!canvas\.)")
        assert app.tasks["t.add"].apply_async((2, 2), countdown=2).get(timeout=60) == 4
    with bench.client() as app, start(bench, "-P", "solo", "-Q", "other"):
        assert app.AsyncResult(moved.id).get(timeout=60) == 2


@pytest.mark.parametrize("results", ["redis", "rpc"])
def test_a_message_that_is_too_large_ends_its_task_in_failure(node, bench, results):
    """A client's, a successor, a chord's body, a result that is a message. The worker goes on."""
    url, backend = bench.urls()[0], bench.urls()[1] if results == "redis" else "rpc://"
    with Canvas("large", broker=url, backend=backend) as app:
        large = app.task(name="large")(lambda size, *_: "x" * size)
        said = f"larger than RabbitMQ's max_message_size, {MOST_BYTES}"
        with start_worker(app, perform_ping_check=False):
            for fits in (large.s(1_200_000), large.s(3, "x" * 1_200_000)):
                fits.delay().get(timeout=60)
            with pytest.raises(EncodeError, match=said):
                large.delay(1, "x" * 1_600_000)
            calls = [large.si(1_600_000) | large.s()]
            if results == "redis":
                calls.append(chord([large.si(900_000), large.si(900_000)], large.s()))
            for call in calls:
                with pytest.raises((BrokerError, ChordError), match=said):
                    call.apply_async().get(timeout=60)
            value = large.delay(1_600_000)
            if results == "rpc":
                with pytest.raises(BrokerError, match=said):
                    value.get(timeout=60)
            else:
                assert len(value.get(timeout=60)) == 1_600_000
            assert large.delay(2).get(timeout=60) == "xx"
