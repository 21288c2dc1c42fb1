"""``worker.timer`` of bootsteps."""

import threading
import time

from canvas.worker.extending.timer import Entry, Timer


def test_none_of_its_functions_runs_after_it_has_stopped():
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow():
        began.set()
        go_on.wait(30)
        ended.set()

    timer = Timer()
    timer.call_after(0, slow)
    assert began.wait(30)
    threading.Timer(0.05, go_on.set).start()
    timer.stop()
    assert ended.is_set()


def test_a_function_may_stop_it():
    timer, stopped = Timer(), threading.Event()
    timer.call_after(0, lambda: (timer.stop(), stopped.set()))
    assert stopped.wait(30)


def test_priority_and_the_handler_of_errors():
    called, failed, done, entered = [], [], threading.Event(), threading.Event()
    timer = Timer(on_error=lambda exc: (failed.append(repr(exc)), done.set()))
    timer.call_after(0, entered.wait, [30])  # the others are called when all of them are entered
    at = time.time() + 0.2
    timer.call_at(at, called.append, ["later"], priority=2)
    timer.call_at(at, called.append, ["first"], priority=1)
    timer.call_at(at + 0.2, int, ["x"])
    timer.enter_at(Entry(called.append, ["now"]), at - 0.2)
    entered.set()
    assert done.wait(30)
    assert called == ["now", "first", "later"]
    assert failed == ["ValueError(\"invalid literal for int() with base 10: 'x'\")"]
    timer.stop()
