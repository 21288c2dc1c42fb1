"""The nodes of tasks that were leased together are read before their tasks end, and their messages are not decoded."""

import gc
import json

import pytest

from canvas import Workflow
from canvas.drivers.ports.values import Lease
from canvas.model.workflow_run import RUN_HEADER, NodeRef
from canvas.wire.record import decode_part, encode_part
from canvas.worker.settlement.nodes_ahead import read_nodes_ahead
from tests.support.apps import make
from tests.support.counting import counted

COUNT = 100


def leased(app, count):
    """A run of ``count`` nodes, and the deliveries of its tasks."""
    task = app.task(name="t.node")(lambda *values: values)
    flow = Workflow("many", app)
    for number in range(count):
        flow.add(task.si(number))
    run = flow.apply_async()
    return run, app.driver.broker.lease(Lease("w", ("celery",), count))


def with_spaces(payload, run):
    return json.dumps(json.loads(payload)).encode()


def with_escapes(payload, run):
    return payload.replace(b'"%b"' % run.encode(), b'"\\u%04x%b"' % (ord(run[0]), run[1:].encode()))


def as_it_is(payload, run):
    return payload


@pytest.mark.parametrize("written", [as_it_is, with_spaces, with_escapes])
def test_nodes_of_several_runs_are_read_in_one_call(bench, app, written):
    runs, deliveries = [], []
    for _ in range(3):
        run, given = leased(app, 1)
        runs.append(run)
        deliveries += [one._replace(payload=written(one.payload, run.id)) for one in given]
    assert [NodeRef.of(app.driver.broker.codec.headers_of(one.payload)[RUN_HEADER]).run for one in deliveries] == [
        run.id for run in runs
    ]
    with make("canvas", *bench.urls()[:2]) as worker:
        read_nodes_ahead(worker.run_store, worker.driver.broker.codec, deliveries)
        bench.results.flushdb()
        assert [worker.run_store.node(run.id, 0, 1).name for run in runs] == ["node"] * 3


def test_no_objects_stand_for_messages_that_wait_for_their_turn(bench, app):
    _, deliveries = leased(app, COUNT)
    with make("canvas", *bench.urls()[:2]) as worker:
        runs, codec = worker.run_store, worker.driver.broker.codec
        read_nodes_ahead(runs, codec, deliveries)
        gc.collect()
        before = len(gc.get_objects())
        calls = counted(lambda: read_nodes_ahead(runs, codec, deliveries)) / COUNT
        assert calls <= 6, f"{calls} function calls for a message"
        assert len(gc.get_objects()) - before < COUNT


@pytest.mark.parametrize("name", ["0", "12", "a-b.c", 'quo"ted', "ünï", "\ud800"])
def test_parts_without_a_value(name):
    written = encode_part(name, "SUCCESS", None)
    assert json.loads(written) == [1, name, "SUCCESS", None]
    assert decode_part(written, accept={"json"}) == (name, "SUCCESS", None)
