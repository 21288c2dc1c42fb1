"""What follows a task and cannot be sent, because a router raises or Redis refuses the message, ends in FAILURE."""

import pytest

from canvas import Workflow, chord
from canvas.errors import ChordError
from canvas.testing.contract import eventually
from tests.support.ledger import Bench
from tests.support.misrouted import BROKEN_QUEUE, make
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer
from tests.worker.commands import states

PROBLEMS = ["no_route", "exits", "refused"]


@pytest.fixture(scope="module", params=[("threads", "-c", "4"), ("prefork", "-c", "2")], ids=lambda pool: pool[0])
def misrouted(request):
    with RedisServer() as server:
        bench = Bench(server)
        broker, backend, ledger = bench.urls()
        bench.broker.hset(BROKEN_QUEUE, "not", "a list")
        app = "tests.support.misrouted:app"
        with WorkerProcess("canvas", broker, backend, "-P", *request.param, app=app, ledger=ledger) as worker:
            bench.app, bench.worker = make(broker, backend, ledger), worker
            yield bench
            bench.app.close()


def task(bench, name):
    return bench.app.tasks[f"m.{name}"]


def nothing_is_left(bench):
    return not bench.results.hlen("canvas:chords:ready") and not bench.broker.hlen("unacked")


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_chord_ends_in_failure(misrouted, problem):
    key = misrouted.new_key()
    body = task(misrouted, problem).s().on_error(task(misrouted, "told").s(key=key))
    result = chord([task(misrouted, "ident").s(n) for n in range(3)], body).delay()
    with pytest.raises(ChordError, match="Callback error"):
        result.get(timeout=20)
    assert len(misrouted.ledger(key, 1)) == 1
    assert eventually(lambda: nothing_is_left(misrouted))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_an_errback_that_cannot_be_sent_hides_no_failure(misrouted, problem):
    key = misrouted.new_key()
    errbacks = [task(misrouted, "told").s(key=key), task(misrouted, problem).s()]
    alone = task(misrouted, "fail").s()
    body = task(misrouted, "ident").s()
    for errback in errbacks:
        alone.link_error(errback)
        body.link_error(errback.clone())
    single, whole = alone.delay(), chord([task(misrouted, "fail").s()], body).delay()
    ended = [misrouted.wait_state(misrouted.app, result.id) for result in (single, whole)]
    assert ended == ["FAILURE", "FAILURE"]
    assert len(misrouted.ledger(key, 2)) == 2
    assert eventually(lambda: nothing_is_left(misrouted))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_node_of_a_workflow_fails_and_those_before_it_keep_their_results(misrouted, problem):
    flow = Workflow("misrouted", misrouted.app)
    first, second = flow.add(task(misrouted, "ident").s(1)), flow.add(task(misrouted, "ident").s(2))
    flow.add(task(misrouted, problem).s(), after=[first, second], name="last")
    run = flow.apply_async()
    assert eventually(lambda: run.state == "FAILURE")
    found = states(run)
    assert (found[first.name], found[second.name], found["last"] != "SUCCESS") == ("SUCCESS", "SUCCESS", True)
    assert eventually(lambda: nothing_is_left(misrouted))
