"""A message that is filled into a prepared form is, byte for byte, the one that the general way writes."""

import re
from datetime import UTC, datetime

import pytest

from canvas import chord, group, telemetry
from canvas.model.ids import Lineage
from canvas.model.workflow_run import RUN_HEADER, STAMP

ARGUMENTS = [
    ((), {}),
    ((1, 2.5, None, True), {"key": "value"}),
    (('ü 😀 " \\ 100 % %s %b \x01task_id\x01',), {"nested": [{"a": [1]}], "%": "%"}),
    ((datetime(2026, 1, 2, tzinfo=UTC),), {"raw": b"\xff"}),
    (("\ud800",), {}),
    (([1] * 2_000,), {"text": "x" * 5_000}),
]
OPTIONS = [
    {},
    {"task_id": 'an id of "one\'s" own'},
    {"queue": "other", "priority": 7, "time_limit": 3, "soft_time_limit": 2.5, "ignore_result": True},
    {"priority": 7, "time_limit": True},
    {"priority": 7, "time_limit": 1},
    {"root_id": "root", "parent_id": "parent", "reply_to": "%b", "group_id": "g\ud800", "group_index": 3},
    {"countdown": 10},
    {"expires": 60},
    {"headers": {"own": "x"}},
    {"shadow": "another name"},
    {"serializer": "pickle"},
    {"compression": "gzip"},
    {"unknown": "property"},
    {"stamped_headers": ["team"], "team": "a"},
]
CHANGING = re.compile(rb'"(delivery_tag|eta|expires|expiration)":"[^"]*"')


@pytest.fixture
def task(app):
    @app.task(name="t.prepared")
    def add(*args, **kwargs): ...

    return add


def both_ways(app, sig, options, lineage=None):
    """The messages of a signature, filled in and written in the general way."""
    plan = app.sender.plan(sig, (), {}, options)
    builder = app.client
    quick = app.sender.encode(plan, lineage)[0]
    prepared, builder._prepared = builder._prepared, None
    try:
        general = app.sender.encode(plan, lineage)[0]
    finally:
        builder._prepared = prepared
    return quick, general


def assert_same(messages):
    quick, general = messages
    assert len(quick) == len(general) > 0
    for one, other in zip(quick, general, strict=True):
        assert one.publish._replace(payload=b"") == other.publish._replace(payload=b"")
        assert (one.id, one.message.headers["id"]) == (other.id, other.message.headers["id"])
        assert CHANGING.sub(b"", one.publish.payload) == CHANGING.sub(b"", other.publish.payload)


def prepared(app, name="t.prepared", of_node=False):
    """Whether the last message of the task was filled in."""
    return app.client._prepared._forms[name, of_node].fill is not None


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_arguments(app, task, args, kwargs):
    assert_same(both_ways(app, task.s(*args, **kwargs), {}))
    assert prepared(app)


def test_options_of_calls_and_of_tasks_in_any_order(app, task):
    for options in (*OPTIONS, *reversed(OPTIONS)):
        assert_same(both_ways(app, task.s(1), options))
    for name, value in (("priority", 3), ("time_limit", 9), ("expires", 30), ("expires", None), ("serializer", "yaml")):
        setattr(task, name, value)
        assert_same(both_ways(app, task.s(1), {}))


NODE = {"task_id": "i", RUN_HEADER: ["r%b", 0, 3], "stamped_headers": [STAMP], STAMP: "r:0", "ignore_result": False}


@pytest.mark.parametrize(
    ("options", "quick"),
    [
        (NODE, True),
        ({**NODE, RUN_HEADER: ["r", 1, 3, 7, 100], "priority": 3, "group_id": "g"}, True),
        ({**NODE, "stamped_headers": ["team", STAMP], "team": "a"}, False),
        ({name: value for name, value in NODE.items() if name not in (STAMP, "stamped_headers")}, False),
        ({name: value for name, value in NODE.items() if name != RUN_HEADER}, False),
        ({**NODE, RUN_HEADER: None}, False),
        ({**NODE, "countdown": 5}, False),
    ],
)
def test_nodes_of_workflows(app, task, options, quick):
    for given in (options, {}, options):
        assert_same(both_ways(app, task.s(1), given))
    assert quick is (("t.prepared", True) in app.client._prepared._forms and prepared(app, of_node=True))


def test_what_a_task_that_runs_hands_on(app, task):
    for lineage in (Lineage("root", "parent"), Lineage("root", "parent", 5), Lineage("other", None)):
        assert_same(both_ways(app, task.s(1), {}, lineage))


def test_members_of_composites(app, task):
    members = [task.s(number) for number in range(3)]
    assert_same(both_ways(app, group(members), {}))
    assert_same(both_ways(app, group(members), {"queue": "other", "headers": {"a": 1}}))
    assert_same(both_ways(app, chord(members, task.s("body")), {}))
    assert_same(both_ways(app, chord([task.s(1) | task.s(2), task.s(3)], task.s("body")), {}))


def test_routes_by_name_and_by_arguments(app, task):
    for routes in (
        {"t.prepared": "one"},
        [{"t.prep*": {"queue": "two", "priority": 4}}],
        lambda name, args, *_: f"q{args[0]}",
    ):
        app.conf.task_routes = routes
        for number in (1, 2):
            quick, general = both_ways(app, task.s(number), {}) if app.client._prepared else (None, None)
            if quick:
                assert_same((quick, general))
    assert app.client._prepared is None


def test_a_changed_setting_counts_for_the_next_message(app, task):
    assert_same(both_ways(app, task.s(1), {}))
    for name, value in (("task_default_queue", "other"), ("task_default_priority", 4), ("task_protocol", 1)):
        setattr(app.conf, name, value)
        assert_same(both_ways(app, task.s(1), {}))


def test_a_listener_may_change_a_message(app, task):
    app.sender.encode(app.sender.plan(task.s(1), (), {}, {}))
    detach = telemetry.attach(lambda message, **_: message.headers.update(own="x"), "message.publishing")
    try:
        (built,), _ = app.sender.encode(app.sender.plan(task.s(1), (), {}, {}))
    finally:
        detach()
    assert b'"own":"x"' in built.publish.payload
