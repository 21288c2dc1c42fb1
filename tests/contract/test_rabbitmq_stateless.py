"""RabbitMQ without a state server: the parts of the contract that need none, and what is refused."""

import os
import time

import amqp
import pytest

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.amqp.local.shared_value import SharedDict
from canvas.drivers.amqp.url import parse
from canvas.drivers.ports.values import Lease
from canvas.errors import ConfigurationError
from canvas.model.message import Publish
from canvas.model.queue import Queue
from canvas.model.settlement import DelayedPublish, ResultWrite, Settlement
from canvas.testing.contract import eventually, ids, publish
from canvas.testing.contract.admin import AdminContract
from canvas.testing.contract.bus import BusContract
from canvas.worker.startup import check_limits
from tests.support.rabbit_bench import ByteProxy, channel_to, through


@pytest.fixture(scope="module")
def vhost(rabbitmq):
    return rabbitmq.url()


@pytest.fixture
def channel(vhost):
    with channel_to(vhost) as channel:
        yield channel


@pytest.fixture
def driver(vhost, channel):
    for queue in ("q", "next", "quorum"):
        channel.queue_delete(queue)
    driver = open_driver(vhost, None)
    yield driver
    driver.close()


def lease(driver, queue="q", worker="w", limit=10):
    return driver.broker.lease(Lease(worker, [queue], limit))


class TestAdmin(AdminContract):
    """Dead letters are in RabbitMQ."""


class TestBus(BusContract):
    """Broadcasts need no state."""


def test_a_settlement_sends_and_acks(driver):
    driver.broker.publish([publish("a")])
    (held,) = lease(driver)
    later = DelayedPublish(time.time() + 1.1, publish("later"))
    end = Settlement(held, publishes=[publish("b", "next")], deferrals=[later])
    reply = driver.settler.settle([end], Lease("w", ["q"], 5))
    assert (reply.verdicts[0].held, reply.deliveries) == (True, [])
    assert not driver.settler.settle([end]).verdicts[0].held
    assert ids(lease(driver, "next")) == ["b"]
    assert ids(eventually(lambda: lease(driver))) == ["later"]


def test_an_early_ack_and_its_return(driver):
    driver.broker.publish([publish("a"), publish("b")])
    a, b = lease(driver)
    assert [v.held for v in driver.settler.settle([Settlement(one, early_ack=True) for one in (a, b)]).verdicts] == [
        True
    ] * 2
    assert driver.broker.release([a]) == 1
    assert driver.settler.settle([Settlement(b, fence="early_acked")]).verdicts[0].held
    assert not driver.settler.settle([Settlement(b, fence="early_acked")]).verdicts[0].held
    assert ids(lease(driver)) == ["a"]


def test_a_lost_connection_loses_no_message_and_settles_nothing(vhost, driver):
    with ByteProxy(parse(vhost, {})[0].port) as proxy:
        cut = open_driver(through(vhost, proxy), None)
        cut.broker.publish([publish("a")])
        (held,) = lease(cut)
        proxy.cut()
        sent = Settlement(held, publishes=[publish("successor", "next")])
        assert not cut.settler.settle([sent]).verdicts[0].held
        cut.close()
    again = eventually(lambda: lease(driver))
    assert ids(again) == ["a"]
    assert driver.broker.codec.headers_of(again[0].payload)["canvas_delivery_count"] == 2


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_message_that_is_delivered_many_times_says_so(driver, vhost, kind):
    """RabbitMQ would drop it: the queue allows five deliveries."""
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 5} if kind == "quorum" else None
    queue = "quorum" if kind == "quorum" else "q"
    driver.broker.declare([Queue(queue, arguments=arguments)])
    driver.broker.publish([publish("a", queue)])
    for count in range(1, 31):
        (held,) = eventually(lambda: lease(driver, queue))
        assert (driver.broker.codec.headers_of(held.payload).get("canvas_delivery_count") or 1) == count
        driver.recovery.recover_worker("w")


def test_a_message_that_is_held_for_long_is_held_anew(vhost, driver):
    short = open_driver(vhost, None, broker_options={"consumer_timeout": 0.1})
    short.broker.publish([publish("a"), publish("b")])
    a, b = lease(short)
    time.sleep(0.06)  # more than half of the timeout
    short.recovery.heartbeat("w", ["q"], 60)
    assert short.broker.session("w").held.keys() == {a.tag, b.tag}
    assert lease(driver, worker="other") == []
    assert short.settler.settle([Settlement(a, publishes=[publish("c", "next")])]).verdicts[0].held
    assert ids(lease(driver, "next")) == ["c"]
    assert short.broker.release([b]) == 1
    assert ids(eventually(lambda: lease(driver, worker="other"), 60)) == ["b"]
    short.close()


def test_revocations_reach_forked_processes():
    shared, (reading, writing) = SharedDict(), os.pipe()
    shared.change(lambda found: found.update(before=1))
    pid = os.fork()
    if pid == 0:
        shared.disinherit()
        os.read(reading, 1)
        os._exit(int(shared.read() == {"before": 1, "after": 2}))
    shared.change(lambda found: found.update(after=2))
    os.write(writing, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_delayed_messages_of_forked_processes_are_counted(vhost, driver):
    pid = os.fork()
    if pid == 0:
        driver.settler.settle(
            [Settlement(None, deferrals=[DelayedPublish(time.time() + 30, publish("later", "forked"))])]
        )
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [one.queue for one in driver.admin.scheduled(10)] == ["forked"]


@pytest.mark.parametrize(
    "feature", [{"concurrency_limit": 1}, {"unique_for": 60}, {"rate_limit": "1/s", "rate_limit_scope": "global"}]
)
def test_features_that_need_shared_state_are_refused_by_name(vhost, feature):
    app = Canvas("limits", broker=vhost, backend="rpc://")
    app.task(name="limited", **feature)(print)
    with pytest.raises(ConfigurationError, match=r"of limited needs state .* set canvas_state"):
        check_limits(app)
    app.close()


def test_a_reply_to_a_client_that_is_gone_makes_no_queue(vhost, driver, channel):
    payload = driver.broker.codec.decode(publish("a").payload)
    payload.properties["reply_to"] = "nobody"
    envelope = driver.broker.codec.encode(payload, "", "q")
    app = Canvas("replies", broker=vhost, backend="rpc://")
    app.driver.broker.publish([Publish("", "q", 0, envelope)])
    (held,) = lease(app.driver)
    assert app.driver.settler.settle([Settlement(held, stores=[ResultWrite("a", b"{}", 60, True)])]).verdicts[0].held
    with pytest.raises(amqp.NotFound):
        channel.queue_declare("nobody", passive=True)
    app.close()
