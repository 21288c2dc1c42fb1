"""Signals: the same ones, in the same order, with Celery's arguments."""

import json
from datetime import UTC, datetime, timedelta

import celery
import celery.signals
import pytest

from canvas import Canvas, chord, signals
from canvas.testing.worker import start_worker
from tests.support.apps import make
from tests.support.dashboards import eventually
from tests.support.ledger import Bench
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer


def told(library):
    """What a worker's signals say of a success, a failure, a retry, a rejected, an ended and an expired task, and of a
    message that is not a task's."""
    with RedisServer() as server:
        bench = Bench(server)
        broker, backend, ledger = bench.urls()
        app = make("canvas", broker, backend, ledger=ledger)
        with WorkerProcess(library, broker, backend, "-P", "solo", ledger=ledger, signals="1"):
            names = {"t.add": (1, 1), "t.fail": (), "t.flaky": (1,), "t.rejected": ()}
            for call in (app.tasks[name].s(*args) for name, args in names.items()):
                call.apply_async().get(timeout=20, propagate=False)
            app.tasks["t.add"].apply_async((1, 1), queue="beside")
            envelope = json.loads(bench.broker.rpop("beside"))
            bench.broker.lpush("celery", json.dumps({**envelope, "headers": {}, "body": "e30="}))
            late = app.tasks["t.add"].apply_async((1, 1), expires="2001-01-01T00:00:00+00:00")
            bench.wait_state(app, late.id)
        app.close()
        return [json.loads(line) for line in bench.ledgers.lrange("ledger:signals", 0, -1)]


def test_a_workers_signals_are_celerys():
    ours, theirs = told("canvas"), told("celery")
    for names in (("task_received", "task_prerun", "task_postrun"), ("task_success", "task_failure", "task_retry"),
                  ("worker_init", "worker_ready", "worker_shutting_down", "worker_shutdown", "celeryd_init",
                   "celeryd_after_setup", "worker_process_init", "import_modules"),
                  # A task that rejects its message has failed only after it is over.
                  ("task_postrun", "task_failure"), ("task_rejected", "task_failure"),
                  ("after_setup_logger", "after_setup_task_logger"), ("task_revoked",)):  # fmt: skip
        assert [one[:2] for one in ours if one[0] in names] == [one[:2] for one in theirs if one[0] in names]
    arguments = {one[0]: set(one[2]) for one in theirs}
    for name, _, given in ours:
        assert arguments.get(name, set()) <= set(given), name


@pytest.fixture
def app():
    app = Canvas("signals", broker="memory://signals")
    app.task(name="t")(lambda: None)
    yield app
    app.close()


def test_headers_can_be_added_before_publishing(app):
    @signals.before_task_publish.connect
    def add(sender, headers, **_):
        headers["trace"] = f"of {sender}"

    seen = []

    @signals.after_task_publish.connect(sender="t")
    def look(headers, routing_key, **_):
        seen.append((headers["trace"], routing_key))

    app.tasks["t"].delay()
    app.send_task("other")
    assert seen == [("of t", "celery")]
    assert signals.before_task_publish.disconnect(add)
    assert signals.after_task_publish.disconnect(look, sender="t")
    assert not signals.after_task_publish.disconnect(look, sender="t")
    app.tasks["t"].delay()
    assert len(seen) == 1


def test_the_retry_policy_of_a_send_is_shown(app):
    shown = []

    @signals.before_task_publish.connect
    def look(retry_policy, **_):
        shown.append(retry_policy)

    usual = {"max_retries": 3, "interval_start": 0, "interval_max": 1, "interval_step": 0.2}
    app.tasks["t"].delay()
    app.tasks["t"].apply_async(retry_policy={"max_retries": 1})
    assert shown == [usual, {**usual, "max_retries": 1}]


def test_properties_before_publishing_are_celerys(app):
    def shown(kind, signal):
        names = []

        def look(properties, **_):
            names.append(sorted(name for name, value in properties.items() if value is not None))

        signal.connect(look)
        with kind("p", broker="memory://", set_as_current=False) as one:
            for options in ({}, {"queue": "q"}, {"priority": 3, "expires": 5, "delivery_mode": 1, "app_id": "a"}):
                one.send_task("t", (), **options)
        signal.disconnect(look)
        return names

    assert shown(Canvas, signals.before_task_publish) == shown(celery.Celery, celery.signals.before_task_publish)


def test_receivers_that_raise_or_are_gone_do_no_harm(app, caplog):
    class Temporary:
        def receive(self, **_):
            raise AssertionError("it is gone")

    def broken(**_):
        raise ValueError("a receiver's own fault")

    temporary = Temporary()
    signals.before_task_publish.connect(temporary.receive)
    del temporary
    signals.before_task_publish.connect(broken, dispatch_uid="one")
    signals.before_task_publish.connect(lambda **_: None, dispatch_uid="one", weak=False)
    assert signals.before_task_publish.receivers == [broken]
    app.tasks["t"].delay()
    assert "a receiver's own fault" in caplog.text
    signals.before_task_publish.disconnect(dispatch_uid="one")


def test_a_received_request_has_its_times_as_datetimes(app):
    seen = []

    @signals.task_received.connect
    def look(request, **_):
        seen.append((request.eta, request.expires))

    due = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    app.tasks["t"].apply_async(eta=due, expires=due + timedelta(days=9999))
    app.tasks["t"].delay()
    with start_worker(app, perform_ping_check=False):
        eventually(lambda: len(seen) == 2)
    assert set(seen) == {(due, due + timedelta(days=9999)), (None, None)}
    signals.task_received.disconnect(look)


def test_what_leaves_with_the_end_of_a_task_is_told_after_it_was_sent(app):
    app.conf.result_backend = "memory://signals"
    told = {"before": [], "after": []}

    @app.task(name="add")
    def add(x, y=0):
        return x + y

    @app.task(name="total")
    def total(numbers):
        return sum(numbers)

    @app.task(name="again", bind=True, max_retries=1)
    def again(self):
        raise self.retry(countdown=0, exc=ValueError("no"))

    def before(sender, headers, **_):
        told["before"].append((sender, headers["retries"]))

    def after(sender, headers, **_):
        told["after"].append((sender, headers["retries"]))

    signals.before_task_publish.connect(before)
    signals.after_task_publish.connect(after)
    with start_worker(app, perform_ping_check=False):
        (add.s(1, 1) | add.s(2)).apply_async(link=total.si([3])).get(timeout=20)
        chord([add.s(n, n) for n in range(2)], total.s())().get(timeout=20)
        again.apply_async(link_error=total.si([4])).get(timeout=20, propagate=False)
        eventually(lambda: len(told["after"]) == 9)
    signals.before_task_publish.disconnect(before)
    signals.after_task_publish.disconnect(after)
    # Two steps and a callback; two parts and a body, each once; a task, its retry, and its errback.
    sent = [("add", 0)] * 4 + [("again", 0), ("again", 1)] + [("total", 0)] * 3
    assert sorted(told["after"]) == sorted(told["before"]) == sorted(sent)
