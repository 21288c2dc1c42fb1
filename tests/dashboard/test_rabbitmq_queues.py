"""RabbitMQ's management API, which lists queues that no event names, and alarms of RabbitMQ."""

import tempfile
import threading
import time

import pytest

from canvas import Canvas
from canvas.dashboard.collecting.collector import Collector
from canvas.dashboard.options import DashboardOptions
from canvas.drivers.amqp.management import ManagementApi
from canvas.drivers.ports.values import Lease
from canvas.errors import BrokerError, ConfigurationError
from canvas.model.settlement import DelayedPublish, Settlement
from canvas.testing.contract import eventually, publish
from tests.support.rabbitmq import RabbitMQNode
from tests.support.redis_server import free_port


@pytest.fixture(scope="module")
def node():
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        lines = f"management.tcp.port = {port}\nmanagement.tcp.ip = 127.0.0.1\n"
        node = RabbitMQNode(folder, lines, plugins=["rabbitmq_management"]).start()
        node.api = f"127.0.0.1:{port}/api/"
        yield node
        node.stop()


@pytest.fixture
def collector(node):
    app = Canvas("listed", broker=node.url("t1"), backend="rpc://", set_as_current=False)
    yield Collector(app, DashboardOptions(broker_api=f"http://guest:guest@{node.api}"))
    app.close()


@pytest.mark.slow
def test_queues_that_nothing_names_are_listed(node, collector):
    driver = collector.app.driver
    collector.app.send_task("t.add", queue="unserved")
    collector.app.send_task("t.add", queue="emptied")
    driver.broker.publish([publish("lost", queue="broken")])
    driver.settler.settle(
        [Settlement(None, deferrals=[DelayedPublish(time.time() + 3_600, publish("late", queue="later"))])]
    )
    with driver.bus.subscribe("celeryev", topics=True):
        collector.app.control.broadcast("ping")
        taken = []
        eventually(
            lambda: len(taken) == 2 or taken.extend(driver.broker.lease(Lease("w", ["emptied", "broken"], 2))), 30
        )
        for one in taken:
            dead = one.queue == "broken"
            driver.settler.settle([Settlement(one, **({"disposal": "dead_letter", "reason": "no"} if dead else {}))])
        (look,) = (function for name, _, function in collector.duties if name == "broker_api")

        def names():
            look()
            collector._look_at_queues()
            return {name: (one.waiting, one.dead) for name, one in collector.queues.states.items()}

        eventually(lambda: {"unserved", "broken"} <= names().keys(), 60)
    assert names() == {"celery": (0, 0), "unserved": (1, 0), "broken": (0, 1)}
    wrong = ManagementApi(f"http://guest:wrong@{node.api}")
    with pytest.raises(BrokerError, match="401"):
        wrong.find_queues("t1")


def test_the_api_is_a_url_of_http():
    with pytest.raises(ConfigurationError, match=r"broker_api: expected a URL .* got amqp://guest:\*\*@host"):
        ManagementApi("amqp://guest:secret@host")


@pytest.mark.slow
def test_an_alarm_of_rabbitmq_needs_attention(node, collector):
    node.control("set_vm_memory_high_watermark", "absolute", "1MB")
    sender = threading.Thread(target=collector.app.send_task, args=("t.add",))
    try:
        eventually(lambda: "memory" in node.control("eval", "rabbit_alarm:get_alarms()."), 30)
        sender.start()

        def problems():
            collector._look_at_queues()
            return [one.text for one in collector.problems]

        eventually(lambda: any("takes no messages: low on memory" in one for one in problems()), 30)
    finally:
        node.control("set_vm_memory_high_watermark", "absolute", "1GB")
        sender.join(60)
    eventually(lambda: not problems() or "low on memory" not in problems()[0], 30)
