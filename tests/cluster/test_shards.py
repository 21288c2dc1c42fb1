"""Queues spread over two Redis servers: one app, one client, one worker."""

import pytest

from canvas import Canvas, Workflow
from canvas.drivers import open_driver
from canvas.errors import ConfigurationError
from canvas.testing.contract import CoordinationContract, DriverContract, SettlerContract
from tests.support.apps import make
from tests.support.ledger import Bench
from tests.support.redis_server import RedisServer
from tests.support.shapes import SHAPES, Shapes
from tests.worker.commands import start, task

SAMPLED = SHAPES[:: max(1, len(SHAPES) // 4)]


class ShardedBench(Bench):
    """The queues ``far*`` on the first of two servers, all others on the second; results on the second."""

    def __init__(self, first, second, ledger):
        super().__init__(second)
        self.first, self.second, self._ledger = first, second, ledger.url(0)
        self.ledgers = ledger.client(decode_responses=True)
        self.shards = {first.url(0): ["far*"], second.url(0): ["*"]}

    def urls(self):
        return "", self.second.url(1), self._ledger

    def app(self):
        return make("canvas", None, self.second.url(1), ledger=self._ledger, broker_shards=self.shards)


@pytest.fixture(scope="module")
def bench(redis_server):
    with RedisServer() as first, RedisServer() as second:
        yield ShardedBench(first, second, redis_server)


@pytest.fixture
def driver(bench):
    for server in (bench.first, bench.second):
        server.client().flushall()
    driver = open_driver("", bench.second.url(1), broker_shards=bench.shards)
    yield driver
    driver.close()


class TestSample(CoordinationContract, SettlerContract):
    """The parts whose steps are more than one script."""


@pytest.mark.slow
class TestWhole(DriverContract):
    pass


@pytest.fixture(scope="module")
def app(bench):
    for server in (bench.first, bench.second):
        server.client().flushall()
    with worker(bench):
        app = bench.app()
        yield app
        app.close()


def worker(bench):
    return start(bench, "-P", "threads", "-c", "4", "-Q", "celery,far", broker_shards=bench.shards)


@pytest.mark.parametrize(
    "shape", [pytest.param(shape, marks=() if shape in SAMPLED else pytest.mark.slow) for shape in SHAPES]
)
def test_value(app, shape):
    import canvas

    signature, expected = getattr(Shapes(canvas, app), shape)()
    assert signature.apply_async(queue="far").get(timeout=60) == expected


def test_each_queue_is_on_its_server(app, bench):
    far = task(app, "add").apply_async((1, 1), queue="far_away")
    near = task(app, "add").apply_async((1, 1), queue="near_by")
    assert bench.first.client().llen("far_away") == bench.second.client().llen("near_by") == 1
    assert bench.first.client().exists("near_by") == bench.second.client().exists("far_away") == 0
    assert {far.id, near.id} == {
        app.driver.broker.codec.decode(app.driver.admin.next_messages(queue)[0]).headers["id"]
        for queue in ("far_away", "near_by")
    }
    assert app.driver.admin.purge("far_away") + app.driver.admin.purge("near_by") == 2


def test_chains_and_chords_go_from_server_to_server(app):
    add, total = task(app, "add"), task(app, "tsum")
    flow = add.s(1, 1).set(queue="far") | add.s(1) | add.s(1).set(queue="far", countdown=0.2) | add.s(1)
    assert flow.apply_async().get(timeout=60) == 5
    from canvas import chord

    header = [add.s(n, n).set(queue=queue) for n, queue in enumerate(("celery", "far", "celery", "far"))]
    assert chord(header, total.s().set(queue="far")).apply_async().get(timeout=60) == 12


def test_a_workflow_across_servers(app):
    flow = Workflow("across", app)
    parts = [flow.add(task(app, "add").s(1, 1).set(queue=queue), name=queue) for queue in ("celery", "far")]
    flow.add(task(app, "tsum").s(parts).set(queue="far"), name="sum")
    assert flow.apply_async().get(timeout=60) == 4


A, B = "redis://a:6379/0", "redis://:secret@b:6379/0"
WRONG = {
    "no rules": ({}, "expected servers with their queues"),
    "no patterns": ({A: []}, "redis://a:6379/0: expected a list"),
    "a text": ({A: "email*"}, "expected a list"),
    "one server twice": ({A: ["x"], "redis://a:6379/1": ["y"]}, "are one server"),
    "a pattern behind all": ({A: ["*"], B: ["email*"]}, r"'email\*' of redis://:\*\*@b:6379/0 matches no queue"),
    "a pattern twice": ({A: ["x"], B: ["x", "*"]}, "the same pattern"),
    "another broker": ({"amqp://a": ["x"]}, "expected one of redis://"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_rules_that_cannot_be_meant(kind):
    rules, message = WRONG[kind]
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_driver("", None, broker_shards=rules)
    assert "secret" not in str(caught.value)


def test_a_queue_that_no_rule_matches():
    app = Canvas("lost", broker_shards={A: ["email*"]}, set_as_current=False)
    with pytest.raises(ConfigurationError, match="queue 'celery': no rule of broker_shards matches it"):
        app.send_task("t.add")


def test_a_rule_that_matches_no_queue():
    app = Canvas(
        "typo", broker_shards={A: ["emial*"], B: ["*"]}, task_queues={"email": {}, "celery": {}},
        task_create_missing_queues=False, set_as_current=False,
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="'emial\\*' matches none of task_queues"):
        app.send_task("t.add")


def test_another_broker_beside_the_shards():
    app = Canvas("two", broker="redis://c", broker_shards={A: ["*"]}, set_as_current=False)
    with pytest.raises(ConfigurationError, match="broker_url redis://c is none of broker_shards"):
        app.send_task("t.add")


def test_passwords_are_not_shown():
    app = Canvas("shown", broker_shards={B: ["*"]}, set_as_current=False)
    assert "secret" not in app.conf.humanize()
