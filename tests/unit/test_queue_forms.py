"""The queues of ``task_queues`` and of ``add_consumer`` are declared as Celery declares them, and ``inspect
active_queues`` shows them so."""

from copy import deepcopy

import celery
import kombu
import pytest
from kombu.common import Broadcast

from canvas import Canvas
from canvas.config.queue_forms import attributes_of
from canvas.model.queue import Queue
from canvas.producer.routing import router_of
from canvas.worker.control.replies import queue as shown

TOPIC = kombu.Exchange("media", "topic", durable=False, auto_delete=True, arguments={"alternate-exchange": "rest"})
BOTH_WAYS = [
    kombu.binding(TOPIC, "a.#"),
    kombu.binding(kombu.Exchange("heads", "headers"), arguments={"x-match": "any"}),
]


def theirs(queues, **settings):
    """The declarations of Celery's queues, with the bindings that kombu makes for them."""
    app = celery.Celery("theirs", broker="memory://", set_as_current=False, task_queues=queues, **settings)
    return {name: described(one.exchange, one) for name, one in app.amqp.queues.items()}


def described(exchange, queue):
    ways = sorted(queue.bindings, key=str) or [kombu.binding(exchange, queue.routing_key, queue.binding_arguments)]
    made = {name: getattr(queue, name) for name in ("durable", "auto_delete", "exclusive", "alias")}
    named = {**(queue.queue_arguments or {})}
    for name, units in {
        "expires": 1000,
        "message_ttl": 1000,
        "max_length": 1,
        "max_length_bytes": 1,
        "max_priority": 1,
    }.items():
        if getattr(queue, name) is not None:
            named[f"x-{name.replace('_', '-')}"] = int(getattr(queue, name) * units)
    bound = [
        (one.exchange.name, one.exchange.type, one.exchange.durable, one.exchange.auto_delete,
         one.exchange.arguments or {}, one.routing_key, one.arguments or {}) for one in ways
    ]  # fmt: skip
    return {**made, "no_declare": bool(queue.no_declare), "arguments": named, "bound": bound}


def ours(queues, **settings):
    found = router_of(Canvas("ours", task_queues=queues, set_as_current=False, **settings).conf).consumed()
    return {one.name: of_ours(one) for one in found}


def of_ours(queue):
    about = queue.declaration
    made = {name: getattr(about, name) for name in ("durable", "auto_delete", "exclusive")}
    bound = [
        (way.exchange.name, way.exchange.type, way.exchange.durable, way.exchange.auto_delete,
         way.exchange.arguments or {}, way.routing_key, way.arguments or {})
        for way in sorted(queue.ways(), key=lambda way: f"{way.exchange.name}->{way.routing_key}")
    ]  # fmt: skip
    return {
        **made, "alias": about.alias or None, "no_declare": about.no_declare, "arguments": queue.arguments or {},
        "bound": bound,
    }  # fmt: skip


OPTIONS = [
    {}, {"max_priority": 10}, {"expires": 30, "message_ttl": 1.5, "max_length": 7, "max_length_bytes": 9},
    {"queue_arguments": {"x-queue-type": "quorum"}, "max_length": 5}, {"exchange": "own"}, {"routing_key": "k"},
    {"exclusive": True}, {"durable": False}, {"auto_delete": True, "alias": "other"}, {"no_declare": True},
    {"binding_arguments": {"x-match": "all", "k": "v"}},
]  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {
    "task_default_exchange": "of all", "task_default_exchange_type": "topic", "task_default_routing_key": "a.b",
    "task_queue_max_priority": 4,
}], ids=["defaults", "others"])  # fmt: skip
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("form", ["queue", "mapping"])
def test_a_queue_is_declared_as_celery_declares_it(form, options, settings):
    # Celery changes the queues and the arguments that it is given.
    ones = [deepcopy(options), deepcopy(options)]
    made, again = ({"q": one} if form == "mapping" else [kombu.Queue("q", **one)] for one in ones)
    assert ours(made, **settings) == theirs(again, **settings)


@pytest.mark.parametrize("make", [
    lambda: kombu.Queue("q", TOPIC, "a.#"), lambda: kombu.Queue("q", BOTH_WAYS),
    lambda: kombu.Queue("q", kombu.Exchange("e"), bindings=BOTH_WAYS), lambda: Broadcast("all", queue="q"),
])  # fmt: skip
def test_exchanges_and_bindings_are_declared_as_celery_declares_them(make):
    assert ours([make()]) == theirs([make()])


def test_a_mapping_takes_the_options_of_an_exchange():
    options = {
        "exchange": "e", "exchange_type": "topic", "exchange_durable": False, "exchange_auto_delete": True,
        "exchange_arguments": {"alternate-exchange": "rest"}, "queue_durable": True, "binding_key": "a.#",
    }  # fmt: skip
    assert ours({"q": options}) == theirs({"q": dict(options)})


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_active_queues_shows_a_queue_as_kombu_describes_it(options):
    (queue,) = router_of(Canvas("a", task_queues=[kombu.Queue("q", **options)], set_as_current=False).conf).consumed()
    answer, expected = shown(queue), kombu.Queue("q", **options).as_dict()
    names = attributes_of(Queue("q")).keys() - {"routing_key", "queue_arguments", "binding_arguments"}
    assert {name: answer[name] for name in names} == {name: expected[name] for name in names}
    assert answer["queue_arguments"] == queue.arguments


def test_a_call_finds_a_queue_by_its_alias_and_makes_none_for_a_broadcast():
    router = router_of(Canvas("a", task_queues=[Broadcast("all"), kombu.Queue("q", alias="other")]).conf)
    everyone, one = router.route("t", {"queue": "all"}), router.route("t", {"queue": "other"})
    assert (everyone.exchange, everyone.queue.of_clients()) == ("all", None)
    assert (one.routing_key, one.queue.name) == ("q", "q")
    assert [queue.name for queue in router.consumed(exclude=["all"])] == ["q"]
    assert [queue.name for queue in router.consumed(["other"])] == ["q"]
