"""``worker.timer`` of bootsteps."""

import threading

from canvas.worker.steps.timer import Timer


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
