"""Results that are stored as a worker would store them, for tests of their handles."""

import threading

from canvas import Canvas


def results_app():
    """An app with a store in memory that is empty."""
    app = Canvas("res", broker="memory://res", backend="memory://res")
    app.driver.results._memory.records.clear()
    return app


def succeed(app, task_id, value):
    app.backend.store_result(task_id, value, "SUCCESS")


def fail(app, task_id, exc, traceback="Traceback: remote"):
    app.backend.store_result(task_id, exc, "FAILURE", traceback=traceback)


def later(call, *args):
    """Call on another thread, in a moment."""
    timer = threading.Timer(0.05, call, args)
    timer.start()
    return timer
