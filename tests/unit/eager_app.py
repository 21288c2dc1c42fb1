"""An app whose tasks run in the process that calls them."""

import os

from canvas import Canvas, chain, group

NOWHERE = "redis://127.0.0.1:1/0"


def make(name, broker=NOWHERE, backend=None):
    app = Canvas(name, broker=broker, backend=backend)
    define = {"name": None, "shared": False}
    for function in (add, ident, total, fail, pid, refuse):
        app.task(**{**define, "name": function.__name__})(function)
    for function in (flaky, swap, about, grow, stop):
        app.task(bind=True, **{**define, "name": function.__name__})(function)
    app.task(**{**define, "name": "later"})(later)
    app.noted = []
    app.task(**{**define, "name": "note"})(app.noted.append)
    return app


def always_eager(name="eager", broker=NOWHERE, backend=None):
    """``make``, with ``task_always_eager``."""
    app = make(name, broker, backend)
    app.conf.task_always_eager = True
    return app


def add(x, y=1):
    return x + y


def ident(x):
    return x


def total(values):
    return sum(values)


def fail(*_):
    raise ValueError("boom")


def pid():
    return os.getpid()


def refuse(x):
    return object()


def flaky(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=600)
    return self.request.retries


def swap(self):
    return self.replace(
        chain(self.app.tasks["add"].s(1), group(self.app.tasks["add"].s(2), self.app.tasks["add"].s(3)))
    )


def about(self):
    return self.request.is_eager, self.request.called_directly, self.request.delivery_info["is_eager"]


def grow(self):
    self.add_to_chord(self.app.tasks["ident"].s(10))
    return 1


def stop(self):
    raise KeyboardInterrupt


async def later(x):
    return x + 1
