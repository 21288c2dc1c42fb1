"""Exceptions that a signal's handler raises in the middle of a call come out of it as they are."""

import functools
import signal

import pytest

from canvas import Canvas
from canvas.drivers.retry_policy import tried
from canvas.errors import EncodeError
from canvas.interruptions import interruption
from canvas.result.backend_classes.base_backend import BaseBackend
from canvas.wire import codecs, pickling


def plain(number, frame):
    raise TimeoutError("late")


def passing_on(number, frame):
    del frame
    plain(number, None)


class Handler:
    def __call__(self, *words):
        raise TimeoutError("late")


def decorated(*args, **kwargs):
    return passing_on(*args, **kwargs)


HANDLERS = {
    "function": plain,
    "lambda": lambda *_: plain(0, None),
    "object": Handler(),
    "partial": functools.partial(lambda word, number, frame: plain(number, None), "word"),
    "decorated": decorated,
}


@pytest.fixture(params=HANDLERS.values(), ids=HANDLERS)
def handler(request):
    before = signal.signal(signal.SIGALRM, request.param)
    yield
    signal.signal(signal.SIGALRM, before)


def ring(*_):
    signal.raise_signal(signal.SIGALRM)


def broken_off():
    """As a library does that has errors of its own."""
    try:
        ring()
    except OSError:
        raise ConnectionError("cannot connect") from None


@pytest.mark.parametrize("call", [ring, broken_off])
def test_a_call_is_not_made_again(handler, call):
    calls = []
    with pytest.raises(TimeoutError, match="late"):
        tried(lambda: (calls.append(1), call()), [0, 0], OSError)
    assert len(calls) == 1


def test_what_a_caller_handles_has_not_broken_the_call_off(handler):
    def fails():
        calls.append(1)
        raise ConnectionError("cannot connect")

    calls = []
    try:
        ring()
    except TimeoutError:
        with pytest.raises(ConnectionError):
            tried(fails, [0, 0], OSError)
    assert len(calls) == 3


class Slow:
    __getstate__ = __json__ = ring


@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_a_value_that_is_being_written(handler, serializer):
    with pytest.raises(TimeoutError, match="late"):
        codecs.named(serializer).dumps(Slow())


def test_a_value_that_is_being_read(handler):
    with pytest.raises(TimeoutError, match="late"):
        pickling.loads(b"c" + f"{__name__}\nring\n".encode() + b"(tR.")


def test_errors_without_a_signal_are_what_they_are():
    with pytest.raises(EncodeError) as found:
        pickling.dumps(lambda: None)
    assert interruption(found.value) is None


class Store(BaseBackend):
    _get_task_meta_for = ring


def test_a_result_that_a_backend_of_the_program_s_reads(handler):
    app = Canvas("own", broker="memory://", backend=f"{__name__}:Store+x://", set_as_current=False)
    with pytest.raises(TimeoutError, match="late"):
        app.AsyncResult("a").get(timeout=5)
