"""The receivers of a signal: a signal without one is not attached to its events."""

import pytest

from canvas import telemetry
from canvas.signals.signal import Signal


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
    assert len(caplog.records) == (0 if ends else 2)
