"""Routes, beside Celery's own router."""

import re

import celery
import pytest
from kombu import Exchange
from kombu import Queue as KombuQueue
from kombu.transport.virtual.exchange import TopicExchange

from canvas.config.config import Config
from canvas.errors import ConfigurationError
from canvas.model.queue import Queue, topic_pattern
from canvas.producer.routing import Route, Router, router_of

ROUTES = {
    "a.exact": {"queue": "exact"},
    "b.*": "starred",
    re.compile(r"c\.\d+"): {"queue": "numbered", "priority": 7},
    "d": {"exchange": "ex", "routing_key": "k"},
}


def theirs(name, options, **settings):
    app = celery.Celery("r", broker="memory://", set_as_current=False)
    app.conf.update(**settings)
    found = app.amqp.router.route(dict(options), name)
    queue = found.get("queue")
    exchange, key = found.get("exchange"), found.get("routing_key")
    exchange = getattr(exchange, "name", exchange)
    if queue is not None:
        exchange = exchange or (queue.exchange.name if queue.exchange.type != "direct" else "")
        key = key or (queue.name if not exchange else queue.routing_key)
    return exchange or "", key


@pytest.mark.parametrize("name", ["a.exact", "b.any", "c.12", "plain"])
@pytest.mark.parametrize("options", [{}, {"queue": "given"}], ids=str)
def test_routes_equal_celerys(name, options):
    found = router_of(Config.load(overrides={"task_routes": ROUTES})).route(name, options)
    assert (found.exchange, found.routing_key) == theirs(name, options, task_routes=ROUTES)


def test_defaults_and_explicit_addresses():
    router = Router()
    assert router.route("x", {}) == Route("", "celery")
    assert router.route("x", {"queue": "q"}) == Route("", "q")
    assert router.route("x", {"exchange": "ex", "routing_key": "k"}) == Route("ex", "k")
    assert router.route("x", {"routing_key": "k"}) == Route("", "celery")
    assert Router(routes=ROUTES).route("c.1", {}).priority == 7
    assert Router(routes=ROUTES).route("d", {}) == Route("ex", "k")


def test_functions_and_lists_of_routers():
    def by_size(name, args, kwargs, options, task=None, **_):
        return {"queue": "large"} if len(args) > 2 else None

    router = Router(routes=[by_size, {"x": "named"}])
    assert router.route("x", {}, (1, 2, 3)).routing_key == "large"
    assert router.route("x", {}, (1,)).routing_key == "named"


def test_topic_queues_go_through_their_exchange():
    queues = [Queue("t", "tx", "a.#", "topic"), "plain", {"name": "d"}, KombuQueue("k", Exchange("kx", "topic"), "z")]
    router = Router(queues=queues)
    assert router.route("x", {"queue": "t"}) == Route("tx", "a.#")
    assert router.route("x", {"queue": "k"}) == Route("kx", "z")
    assert [q.name for q in router.consumed()] == ["t", "plain", "d", "k"]
    assert [q.name for q in router.consumed([], ["t", "k"])] == ["plain", "d"]
    assert [q.name for q in router.consumed(["new", "d"])] == ["new", "d"]


@pytest.mark.parametrize("key", ["video.#", "*.v-1.x_y", "a+b.(c|d)", "", "é.\0", "*", "v#.w*"])
def test_topic_patterns_are_kombus(key):
    assert topic_pattern(key) == TopicExchange(None).key_to_pattern(key)


def test_a_topic_queue_takes_the_keys_that_its_own_matches():
    queue = Queue("q", "media", "v-1.a+b.*", "topic")
    keys = "v-1.a+b.c", "v-1.aab.c", "v-1.a+b", "v-1.a+b.c.d"
    assert [queue.takes("media", key) for key in keys] == [True, False, False, False]
    assert not queue.takes("other", keys[0])


def test_missing_queues_may_be_refused():
    router = Router(queues=["a"], default_queue="a", create_missing=False)
    assert router.route("x", {}).routing_key == "a"
    with pytest.raises(ConfigurationError, match=r"'b' is not in task_queues \(a\)"):
        router.route("x", {"queue": "b"})


@pytest.mark.parametrize("bad", [[("x", {"queue": "q"})], [["x"]], [[("x", {}, {})]], [[(3, {})]]])
def test_routes_that_are_no_pairs_are_refused(bad):
    with pytest.raises(ConfigurationError, match=r"^task_routes: expected pairs of a task's name or pattern"):
        Router(routes=bad)


@pytest.mark.parametrize("bad", [3, [3], {"x": 1}])
def test_what_is_no_route_is_refused(bad):
    with pytest.raises((ConfigurationError, TypeError)):
        Router(routes=bad).route("x", {})
