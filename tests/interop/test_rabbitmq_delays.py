"""Delayed messages in RabbitMQ: they wait there and nowhere else, on classic and quorum queues, and are not lost."""

import time
from datetime import UTC, datetime

import amqp
import pytest
import redis
from kombu.transport.native_delayed_delivery import calculate_routing_key

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.amqp.delays.delay_queue import DelayQueue
from canvas.drivers.ports.values import Lease
from canvas.model.message import Publish
from canvas.model.queue import Queue
from canvas.model.settlement import DelayedPublish, Settlement
from canvas.telemetry import attach
from canvas.testing.contract import eventually, ids, publish
from tests.support.rabbit_bench import RabbitBench, channel_to
from tests.worker.commands import start


@pytest.fixture(scope="module")
def vhost(rabbitmq):
    return rabbitmq.url()


@pytest.fixture
def channel(vhost):
    with channel_to(vhost) as channel:
        yield channel


@pytest.fixture
def driver(vhost, redis_url):
    driver = open_driver(vhost, redis_url)
    yield driver
    driver.close()


def delayed(driver, name, seconds, queue="q"):
    driver.settler.settle([Settlement(None, deferrals=[DelayedPublish(time.time() + seconds, publish(name, queue))])])


def test_retries_and_countdowns_wait_in_rabbitmq(redis_server, redis_url, vhost):
    with start(RabbitBench(redis_server, vhost), "-P", "solo"):
        app = Canvas("delays", broker=vhost, backend=redis_server.url(1))
        later = [app.send_task("t.add", (1, 1), countdown=30) for _ in range(3)]
        retried = app.send_task("t.retried_once", (1.2, "value"))
        eventually(lambda: app.driver.admin.in_flight()[:2] == (0, 4))
        assert retried.get(timeout=30) == "value"
        state = redis.Redis.from_url(redis_server.url(1))
        assert not state.exists("canvas:delayed", "unacked")
        assert sorted(one.queue for one in app.driver.admin.scheduled(10)) == ["celery"] * 3
        assert app.driver.admin.enqueue_delayed("celery", 2) == 2
        eventually(lambda: app.driver.admin.in_flight()[:2] == (0, 3))
        assert {one.state for one in later} == {"PENDING"}
        app.close()


def test_messages_for_quorum_queues_wait_in_quorum_queues(driver, channel):
    driver.broker.declare([Queue("q.quorum", arguments={"x-queue-type": "quorum"})])
    delayed(driver, "a", 1.9, "q.quorum")
    name, *_ = driver.broker.state.messages.delay_queues()
    found = DelayQueue.named(name)
    assert (found.quorum, 500 < found.milliseconds <= 1000) == (True, True)
    (arrived,) = eventually(lambda: driver.broker.lease(Lease("w", ["q.quorum"], 5)))
    assert ids([arrived]) == ["a"]
    arguments = {**found.arguments, "x-queue-type": "classic"}
    with pytest.raises(amqp.PreconditionFailed, match="x-queue-type"):
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)


@pytest.mark.parametrize("way", ["deferred", "early"])
def test_delayed_messages_pass_by_a_quorum_queue_that_takes_none(driver, channel, way):
    """RabbitMQ that is killed just after it has made a quorum queue may have it without a leader from then on."""
    where, refusing = f"q.{way}", DelayQueue(2000, "", True)
    driver.broker.declare([Queue(where, arguments={"x-queue-type": "quorum"})])
    arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 1}
    channel.queue_delete(refusing.name)
    channel.queue_declare(refusing.name, durable=True, auto_delete=False, arguments=arguments)
    for _ in range(3):
        channel.basic_publish(amqp.Message(b"it is full"), "", refusing.name)
    eventually(lambda: channel.queue_declare(refusing.name, passive=True).message_count > 1)
    if way == "deferred":
        delayed(driver, "a", 2.95, where)
    else:
        headers = {"canvas_due": time.time() + 2.95}
        channel.basic_publish(amqp.Message(b"a", message_id="a", application_headers=headers), "", where)
    assert len(eventually(lambda: driver.settler.settle([], Lease("w", [where], 5)).leased.deliveries)) == 1
    assert "canvas.delay.2000" in driver.broker.state.messages.delay_queues()
    channel.queue_delete(refusing.name)


def test_a_quorum_queue_that_took_no_message_is_used_again_after_a_while(driver, monkeypatch):
    refused = DelayQueue(3000, "", True)
    queues = driver.broker.destinations._delays
    for seconds, used in ((60.0, False), (0.0, True)):
        monkeypatch.setattr("canvas.drivers.amqp.delays.queues._AVOIDED_FOR", seconds)
        queues.instead_of(refused.name)
        assert (queues._made(refused) == refused.name) is used
    queues.instead_of(refused.name)
    monkeypatch.setattr("canvas.drivers.amqp.delays.queues._AVOIDED_FOR", 60.0)
    queues.instead_of(refused.name)
    queues.forget()
    assert queues._made(refused) == refused.name


def test_the_next_connection_ends_an_outage_in_which_the_broker_took_no_messages(driver):
    events = []
    detach = attach(lambda **_: events.append("recovered"), "broker.recovered")
    for blocked in ("low on memory", ""):
        link = driver.broker.link(heartbeat=False)
        link.blocked = blocked
        link.drop()
    driver.broker.link(heartbeat=False).close()
    detach()
    assert events == ["recovered"]


@pytest.mark.parametrize("lost", ["queue", "exchange"])
def test_a_queue_of_a_delay_that_is_gone_is_made_again(driver, channel, lost):
    delayed(driver, "first", 2.95)
    name = "canvas.delay.2000"
    channel.queue_delete(name) if lost == "queue" else channel.exchange_delete(name)
    delayed(driver, "second", 2.95)
    expected = ["second"] if lost == "queue" else ["first", "second"]
    found = []

    def all_came():
        found.extend(driver.broker.lease(Lease("w", ["q"], 5)))
        return sorted(ids(found)) == expected

    eventually(all_came)
    driver.settler.settle([Settlement(one) for one in found])


def test_a_topic_reaches_its_queue_after_the_delay(driver):
    queue = Queue("videos", "media", "video.#", "topic")
    sent = publish("a")._replace(exchange="media", routing_key="video.mp4", queue=queue)
    driver.settler.settle([Settlement(None, deferrals=[DelayedPublish(time.time() + 0.3, sent)])])
    assert ids(eventually(lambda: driver.broker.lease(Lease("w", ["videos"], 5)))) == ["a"]


def test_without_celerys_ladder_a_message_goes_to_its_queue(rabbitmq, redis_url):
    driver = open_driver(rabbitmq.url(), redis_url)  # no other test has made a ladder there
    queue = Queue("flat", "flat", "key", "topic", {"x-queue-type": "quorum"})
    eta = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat()
    payload = driver.broker.codec.with_headers(publish("a").payload, {"eta": eta})
    driver.broker.publish([Publish("flat", "key", 0, payload, queue)])
    assert ids(eventually(lambda: driver.broker.lease(Lease("w", ["flat"], 5)))) == ["a"]
    driver.close()


def test_celerys_ladder_is_served_and_entered_at_the_highest_bit(driver, channel):
    queue = Queue("steps", "ladder", "some.key", "topic", {"x-queue-type": "quorum"})
    driver.broker.declare([queue])
    worker = Lease("w", ["steps"], 5)
    headers = {"task": "t", "id": "one"}
    as_celery = amqp.Message(b"from celery", content_type="application/json", application_headers=headers)
    channel.basic_publish(as_celery, "celery_delayed_27", calculate_routing_key(2, "some.key"))
    eta = datetime.fromtimestamp(time.time() + 5.5, UTC).isoformat()
    payload = driver.broker.codec.with_headers(publish("two").payload, {"eta": eta})
    driver.broker.publish([Publish("ladder", "some.key", 0, payload, queue)])
    assert channel.queue_declare("celery_delayed_2", passive=True).message_count == 1
    assert driver.broker.lease(worker) == []
    came = eventually(lambda: driver.broker.lease(worker))
    assert ids(came) == ["one"]
    came += eventually(lambda: driver.broker.lease(worker))
    assert ids(came) == ["one", "two"]
    assert driver.broker.codec.headers_of(came[0].payload) == headers
    driver.settler.settle([Settlement(one) for one in came])
