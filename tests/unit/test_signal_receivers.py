"""The receivers of a signal: a signal without one is not attached to its events."""

import pytest

from canvas import Canvas, signals, telemetry
from canvas.signals.signal import Signal
from canvas.testing.worker import start_worker


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
        seen[name] = (one.hostname == str(one), one.concurrency, one.pool_cls, one.logfile)
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
    assert seen == dict.fromkeys(("init", "setup", "shutdown"), (True, 2, "threads", None))
