"""The receivers of a signal: a signal without one is not attached to its events."""

import gc
import os
from unittest.mock import ANY

import pytest

from canvas import Canvas, signals, telemetry
from canvas.signals.signal import Signal
from canvas.testing.worker import start_worker
from canvas.worker.extending.bootsteps import Step


@pytest.fixture
def signal():
    return Signal("given", "test.given", lambda facts: (None, facts))


def receiver(**arguments):
    return arguments["number"]


def test_the_first_receiver_attaches_it_and_the_last_detaches_it(signal):
    signal.connect(receiver)
    assert telemetry.listening("test.given")
    signal.disconnect(receiver)
    assert not telemetry.listening("test.given")


def test_receivers_that_are_gone_detach_it(signal):
    def local(**arguments):
        """Nothing else refers to it."""

    signal.connect(local)
    del local
    telemetry.emit("test.given", number=1)
    assert not telemetry.listening("test.given")
    assert not signal.has_listeners()


def test_one_that_is_gone_leaves_the_others(signal):
    def local(**arguments):
        """Nothing else refers to it."""

    signal.connect(local)
    signal.connect(receiver)
    del local
    assert signal.send(None, number=1) == [(receiver, 1)]
    assert telemetry.listening("test.given")
    signal.disconnect(receiver)


def test_it_can_be_connected_again(signal):
    signal.connect(lambda **_: None)
    telemetry.emit("test.given", number=1)
    signal.connect(receiver)
    assert signal.send(None, number=2) == [(receiver, 2)]
    assert telemetry.listening("test.given")
    signal.disconnect(receiver)


@pytest.mark.parametrize(("event", "ends"), [("worker.init", True), ("worker.ready", True), ("task.started", False)])
def test_a_receiver_may_end_the_program_at_its_start(event, ends, caplog):
    signal = Signal("given", event, lambda facts: (None, facts))

    def leave(**arguments):
        raise SystemExit(3)

    signal.connect(leave)
    for send in (lambda: signal.send(None), lambda: telemetry.emit(event)):
        if ends:
            with pytest.raises(SystemExit):
                send()
        else:
            send()
    signal.disconnect(leave)
    # Receivers that other tests have connected for good are reported by canvas.telemetry.
    raised = [one for one in caplog.records if one.name == "celery.utils.dispatch.signal" and leave in one.args]
    assert len(raised) == (0 if ends else 2)


def test_senders_of_workers_signals_have_the_attributes_of_celerys_worker():
    """``worker_init`` and ``worker_shutdown`` have the worker as sender, ``celeryd_after_setup`` as instance."""
    app = Canvas("senders", broker="memory://", backend="memory://")
    seen = {}

    def noting(name, one):
        pool = one.pool_cls if isinstance(one.pool_cls, str) else one.pool_cls.__module__
        made = one.pool is not None and (one.consumer.hostname, one.info()["pid"], one.rusage().keys() > {"maxrss"})
        seen[name] = (one.hostname == str(one), one.concurrency, pool, one.logfile, made)
        assert one.state.active_requests is not None
        with pytest.raises(AttributeError, match="has no attribute 'other'"):
            assert one.other

    receivers = [
        (signals.worker_init, lambda sender, **_: noting("init", sender)),
        (signals.celeryd_after_setup, lambda instance, **_: noting("setup", instance)),
        (signals.worker_shutdown, lambda sender, **_: noting("shutdown", sender)),
    ]
    for signal, receive in receivers:
        signal.connect(receive, weak=False)
    try:
        with start_worker(app, concurrency=2, pool="threads"):
            pass
    finally:
        for signal, receive in receivers:
            signal.disconnect(receive)
    assert seen == {
        "init": (True, 2, "threads", None, False),
        "setup": (True, 2, "celery.concurrency.thread", None, False),
        "shutdown": (True, 2, "celery.concurrency.thread", None, (ANY, os.getpid(), True)),
    }


def test_a_receiver_changes_the_queues_of_a_worker():
    """As in the example of Celery's page on ``celeryd_after_setup``; workers of ``-Q`` too."""
    app = Canvas("queues", broker="memory://", backend="memory://", task_queues=["celery", "other", "beside"])
    app.task(name="t")(lambda: 1)

    def change(sender, instance, **_):
        instance.app.amqp.queues.select_add(f"{sender}.dq")
        instance.app.amqp.queues.deselect("other")

    signals.celeryd_after_setup.connect(change)
    try:
        with start_worker(app, concurrency=1, pool="threads", hostname="w@here", queues=["celery", "other"]):
            left = [app.send_task("t", queue=name) for name in ("other", "beside")]
            taken = [app.send_task("t", queue=name) for name in ("w@here.dq", "celery")]
            assert [one.get(timeout=10) for one in taken] == [1, 1]
            assert [one.state for one in left] == ["PENDING"] * 2
    finally:
        signals.celeryd_after_setup.disconnect(change)


def test_a_step_lives_as_long_as_its_worker():
    """Its methods may be receivers: signals do not keep them."""
    app, seen = Canvas("steps", broker="memory://", backend="memory://"), []

    class Watching(Step):
        def __init__(self, parent, **options):
            super().__init__(parent, **options)
            signals.task_prerun.connect(self.begun)

        def begun(self, sender, **_):
            seen.append(sender.name)

    app.steps["worker"].add(Watching)
    add = app.task(lambda x: x, name="add")
    with start_worker(app, concurrency=1, pool="solo"):
        gc.collect()
        assert add.delay(1).get(timeout=20) == 1
    assert seen == ["add"]


def test_senders_of_a_workers_parts():
    facts = {"hostname": "w@h", "pid": 1, "exitcode": 0, "pool": "the pool", "heart": "the heart"}
    seen = []
    for name, event in (("heartbeat_sent", "heartbeat.sent"), ("worker_before_create_process", "worker.forking"),
                        ("worker_process_shutdown", "worker.process_shutdown")):  # fmt: skip
        signal = getattr(signals, name)
        signal.connect(note := lambda sender, signal, **given: seen.append((sender, given)), weak=False)
        telemetry.emit(event, **facts)
        signal.disconnect(note)
    assert seen == [("the heart", {}), ("the pool", {}), ("w@h", {"pid": 1, "exitcode": 0})]
