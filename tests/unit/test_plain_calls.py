"""A plain call, whose form is decided once, sends byte for byte what the general way sends, and is refused as there."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from canvas import Canvas, Signature, signature, telemetry
from canvas.drivers.ports.values import Lease
from canvas.errors import CanvasError
from canvas.model.queue import Queue

CHANGING = re.compile(rb'"(delivery_tag|eta|expires|expiration)":"[^"]*"')
LATER = datetime(2040, 1, 2, tzinfo=UTC)
QUEUES = ("celery", "other", "routed")
ARGUMENTS = [
    ((), {}),
    (None, None),
    ([1, 2.5, None, True], {"key": "value"}),
    (('ü 😀 " \\ 100 % %s %b \x01id\x01',), {"nested": [{"a": [1]}], "%": "%"}),
    ((datetime(2026, 1, 2, tzinfo=UTC),), {"raw": b"\xff"}),
    (("\ud800",), {}),
    (([1] * 2_000,), {"text": "x" * 5_000}),
    (("wide", [[[[]]]] * 200), {}),
]
DEEP = json.loads("[" * 300 + "]" * 300)
UNSENT = [((object(),), {}), ((DEEP,), {}), ("text", {}), ((), [1])]
PLAIN = [
    {},
    {"queue": "other", "priority": 7},
    {"queue": "other", "priority": 7, "time_limit": 3, "ignore_result": True},
    {"priority": 1},
    {"countdown": 10},
    {"countdown": 0},
    {"eta": LATER},
    {"eta": "2040-01-02T00:00:00"},
    {"expires": 60},
    {"expires": LATER, "countdown": 1.5, "queue": "other"},
]
OTHERS = [
    {"priority": True},
    {"priority": 1.0},
    {"queue": 3},
    {"countdown": "soon"},
    {"countdown": True},
    {"eta": "no date"},
    {"expires": ""},
    {"expires": "never"},
    {"countdown": 1e12},
    {"countdown": None},
    {"time_limit": "x"},
    {"headers": {"own": "x"}},
    {"serializer": "pickle"},
    {"task_id": "own"},
    {"shadow": "another"},
    {"add_to_parent": False},
    {"stamped_headers": ["team"], "team": "a"},
    {"unknown": "property"},
]


@pytest.fixture
def app():
    with Canvas("plain", broker="memory://", backend="cache+memory://", set_as_current=False) as app:
        yield app


@pytest.fixture
def add(app):
    @app.task(name="t.add")
    def add(*args, **kwargs): ...

    return add


def sent(app, call):
    """The messages that a call sends, without what differs from call to call, and its result; or its error."""
    try:
        result = call()
    except (CanvasError, TypeError, ValueError) as exc:
        return type(exc), str(exc)
    leased = app.driver.broker.lease(Lease("reader", QUEUES, 10))
    return (
        [(one.queue, CHANGING.sub(b"", one.payload).replace(result.id.encode(), b"id")) for one in leased],
        (type(result), result.ignored, result.sent_to, result.parent),
    )


def generally(app, call):
    """What ``sent`` gives of a call that takes the general way, since somebody listens to it."""
    detach = telemetry.attach(lambda **facts: None, "message.published")
    try:
        return sent(app, call)
    finally:
        detach()


def assert_same(app, *calls, plain=True):
    """``plain``: whether these calls are to be sent as plain ones."""
    for call in calls:
        app.__dict__.pop("sender", None)
        found = sent(app, call)
        assert plain is ("sender" not in app.__dict__)
        if plain:
            assert found == generally(app, call)


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_arguments(app, add, args, kwargs):
    assert_same(app, lambda: add.apply_async(args, kwargs), lambda: app.send_task("t.add", args, kwargs))


@pytest.mark.parametrize(("args", "kwargs"), UNSENT)
def test_arguments_that_are_refused(app, add, args, kwargs):
    assert_same(app, lambda: app.send_task("t.add", args, kwargs), plain=False)
    with pytest.raises((CanvasError, TypeError)):
        add.apply_async(args, kwargs)


def test_options_in_any_order(app, add):
    for options in (*PLAIN, *reversed(PLAIN)):
        ways = [lambda: add.apply_async((1,), **options), lambda: app.send_task("t.add", (1,), **options)]  # noqa: B023
        assert_same(app, *ways)
        assert_same(app, lambda: app.send_task("t.not_here", **options))  # noqa: B023
    for options in (*OTHERS, *reversed(OTHERS)):
        assert_same(app, lambda: add.apply_async((1,), **options), plain=False)  # noqa: B023


def test_signatures_with_options(app, add):
    for plain, options in (*((True, one) for one in PLAIN), *((False, one) for one in OTHERS)):
        sig = add.s(1, key="own").set(**options)
        for call in (
            lambda: sig.delay(2, other=3),  # noqa: B023
            lambda: asyncio.run(sig.adelay(2)),  # noqa: B023
            lambda: add.si(1).apply_async((2,), **options),  # noqa: B023
            lambda: app.signature("t.not_here", (1,)).apply_async(**options),  # noqa: B023
        ):
            assert_same(app, call, plain=plain)
    assert_same(app, signature(json.loads(json.dumps(add.s(1))), app=app).delay)


def test_signatures_that_are_more_than_a_call(app, add):
    class Own(Signature):
        pass

    frozen = add.s(1)
    frozen.freeze()
    own = (frozen, add.s(1).on_error(add.s()), add.s(1).set(link=add.s()), Own("t.add", app=app), add.map([1]))
    assert_same(app, *(one.delay for one in own), lambda: add.s(1).apply_async(iter([2])), plain=False)
    stamped = add.s(1)
    stamped.stamp(team="a")
    assert_same(app, stamped.delay, plain=False)


def test_on_an_event_loop(app, add):
    calls = (
        lambda: add.adelay(1),
        lambda: add.aapply_async((1,), queue="other"),
        lambda: app.asend_task("t.add", (1,)),
    )
    assert_same(app, *(lambda call=call: asyncio.run(call()) for call in calls))


def test_changed_attributes_of_the_task(app, add):
    for name, value in (
        ("priority", 3), ("time_limit", 9), ("ignore_result", True), ("expires", 30), ("expires", None),
        ("serializer", "yaml"), ("serializer", None), ("compression", "gzip"), ("compression", None),
        ("soft_time_limit", 3), ("soft_time_limit", None), ("queue", "other"),
    ):  # fmt: skip
        setattr(add, name, value)
        general = value is not None and name in ("expires", "serializer", "compression", "soft_time_limit")
        assert_same(app, lambda: add.delay(1), plain=not general)
    assert_same(app, lambda: add.apply_async((1,), queue="celery", ignore_result=False))


def test_changed_settings(app, add):
    def by_arguments(name, args, *_):
        return "routed" if args else None

    for name, value, plain in (
        ("task_default_priority", 4, True), ("task_routes", {"t.*": {"queue": "routed", "priority": 2}}, True),
        ("task_routes", by_arguments, False), ("task_routes", None, True), ("task_protocol", 1, False),
        ("task_protocol", 2, True), ("task_serializer", "yaml", False), ("task_serializer", "json", True),
        ("task_compression", "gzip", False), ("task_compression", None, True), ("task_message_max_bytes", 300, False),
        ("task_message_max_bytes", None, True), ("task_repr_maxlevels", 1, True), ("timezone", "Asia/Tokyo", True),
        ("task_default_queue", "other", True), ("message_signing_keys", ["k" * 32], False),
    ):  # fmt: skip
        setattr(app.conf, name, value)
        assert_same(app, lambda: add.delay([[1]]), lambda: add.apply_async((1,), countdown=5), plain=plain)


def test_calls_that_do_not_fit(app):
    @app.task(name="t.two")
    def two(a, b=1): ...

    for call in (two.delay, lambda: two.delay(1, 2, 3), lambda: two.delay(1, c=2), two.s(c=2).delay):
        assert sent(app, call) == generally(app, call)
    assert_same(app, lambda: app.send_task("t.two"), lambda: two.delay(1, b=2))
    two.typing = False
    assert_same(app, two.delay)


def test_what_a_program_overrides_is_called(app, add):
    add.delay()
    called = []

    class Named(app.Task):
        def shadow_name(self, args, kwargs, options):
            called.append("shadow_name")

    class Sending(app.Task):
        def apply_async(self, *args, **options):
            called.append("apply_async")
            return super().apply_async(*args, **options)

    app.task(base=Named, name="t.named")(lambda: None).delay()
    sending = app.task(base=Sending, name="t.sending")(lambda: None)
    sending.delay()
    sending.s().delay()
    send_task = app.send_task
    app.send_task = lambda *args, **options: called.append("send_task") or send_task(*args, **options)
    add.delay()
    add.s().delay()
    add.shadow_name = lambda *args: called.append("own shadow_name")
    del app.send_task
    add.delay()
    assert called == ["shadow_name", "apply_async", "apply_async", "send_task", "send_task", "own shadow_name"]


def test_listeners_and_eager_apps(app, add):
    add.delay()
    published = []
    detach = telemetry.attach(lambda message, **_: published.append(message.id), "message.published")
    try:
        result = add.delay()
    finally:
        detach()
    assert published == [result.id]
    app.conf.task_always_eager = True
    assert add.delay().ready()
    app.conf.task_always_eager = False
    assert not add.delay().ready()


def test_a_task_that_runs_hands_on_its_place(app, add):
    add.delay()
    results = []

    @app.task(bind=True, name="t.outer")
    def outer(self):
        results.append(add.delay())
        results.append(self.request)

    outer.apply()
    inner, request = results
    assert request.children == [inner]
    (leased,) = app.driver.broker.lease(Lease("reader", QUEUES, 10))[1:]
    assert app.driver.broker.codec.headers_of(leased.payload)["parent_id"] == request.id


def test_times_are_those_of_the_call(app, add):
    before = datetime.now(UTC)
    for _ in range(2):
        add.apply_async(countdown=100, expires=200)
    for leased in app.driver.broker.lease(Lease("reader", QUEUES, 10)):
        headers = app.driver.broker.codec.headers_of(leased.payload)
        eta, expires = (datetime.fromisoformat(headers[name]) for name in ("eta", "expires"))
        assert timedelta(seconds=100) <= eta - before < timedelta(seconds=130)
        assert timedelta(seconds=200) <= expires - before < timedelta(seconds=230)


@pytest.mark.parametrize("queue", ["other", "celery"])
def test_calls_go_by_the_binding_of_a_queue_that_is_added_later(app, add, queue):
    options = {} if queue == "celery" else {"queue": queue}
    # A call with the id of a task has a form too, that of messages of composites.
    calls = (lambda: add.apply_async(**options), lambda: add.apply_async(task_id="own", **options))
    assert [call().sent_to for call in calls] == [queue, queue]
    app.router.add(Queue(queue, "topics", "a.b", "topic"))
    assert [call().sent_to for call in calls] == [None, None]
