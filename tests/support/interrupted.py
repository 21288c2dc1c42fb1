"""Calls that a signal's handler breaks off with an exception, over and over: ``python -m tests.support.interrupted``."""

import contextlib
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
import timeit
from functools import partial
from itertools import cycle

from canvas import Canvas


def interrupt(what, url):
    """The exit code of a program that does so."""
    command = [sys.executable, "-m", "tests.support.interrupted", what, url]
    return subprocess.run(command, timeout=120, check=False).returncode


class Interrupted(Exception):
    pass


KINDS = [Interrupted, KeyboardInterrupt, TimeoutError, ConnectionError, OSError]
"""Of a program's own, of Ctrl-C, and those that a socket raises too."""


class Interrupter:
    def __init__(self):
        self.armed = False
        self.kinds = cycle(KINDS)
        self.raised = 0
        signal.signal(signal.SIGALRM, self.handle)

    def handle(self, *_):
        if self.armed:
            self.armed = False
            self.raised += 1
            raise next(self.kinds)("of the handler")

    def run(self, call, seconds, times):
        """Call until it was interrupted so many times, each time after as many seconds as ``seconds()`` says. What the
        handler raised came out of the call; Python takes it where it comes in a destructor."""
        caught, self.raised = 0, 0
        while caught < times:
            try:
                self.armed = True
                signal.setitimer(signal.ITIMER_REAL, seconds())
                call()
                self.armed = False
            except tuple(KINDS) as exc:
                self.armed = False
                assert "of the handler" in str(exc), exc
                caught += 1
        assert caught >= 0.9 * self.raised, (caught, self.raised)


def numbers(interrupter, url):
    from canvas.drivers.redis.connection.resp import packed

    command = ("SET", "key", *[1, 0.5] * 25)
    interrupter.run(lambda: [packed([command]) for _ in range(200)], lambda: 0.00002, 300)


def connections(interrupter, url):
    options = {"max_connections": 3}
    app = Canvas("interrupted", broker=url, broker_transport_options=options, set_as_current=False)
    measure, drawn = app.driver.admin.queue_length, random.Random(1)
    assert measure("q") == 0
    interrupter.run(lambda: measure("q"), lambda: 0.00001 + drawn.random() / 5000, 800)
    assert measure("q") == 0


def lengths(interrupter, url):
    app = Canvas("interrupted", broker=url, set_as_current=False)
    for _ in range(3):
        app.send_task("t", queue="three")
    app.send_task("t", queue="one")
    measure, drawn = app.driver.admin.queue_length, random.Random(1)

    def check():
        found = measure("three"), measure("one")
        assert found == (3, 1), found

    check()
    interrupter.run(check, lambda: 0.00001 + drawn.random() / 500, 20)
    check()


def waits(interrupter, url):
    """Wait for a result that does not come: whatever the handler raises ends the wait."""
    app = Canvas("interrupted", broker="memory://interrupted", backend=url, set_as_current=False)
    with contextlib.suppress(TimeoutError):
        app.AsyncResult("none").get(timeout=0.1)  # imports what it needs: Python takes errors there for those of a file
    for _ in KINDS:
        began = time.monotonic()
        interrupter.run(lambda: app.AsyncResult("none").get(timeout=30), lambda: 0.1, 1)
        assert time.monotonic() - began < 10


def records(interrupter, url):
    """Read records from a result backend. Each is that of its id, all interruptions come out as they are, and then
    another thread reads at once, and few connections are open."""
    app = Canvas("interrupted", broker="memory://interrupted", backend=url, set_as_current=False)
    drawn, ids = random.Random(1), cycle("abc")
    for task_id in "abc":
        app.backend.store_result(task_id, task_id, "SUCCESS")

    def check():
        task_id = next(ids)
        found = app.backend.get_records([task_id])[0].result
        assert found == task_id, (found, task_id)

    took = min(timeit.repeat(check, number=1, repeat=5))
    before = len(os.listdir("/proc/self/fd"))
    interrupter.run(check, lambda: 0.00001 + drawn.random() * 1.2 * took, 150)
    signal.setitimer(signal.ITIMER_REAL, 0)
    another = threading.Thread(target=check, daemon=True)
    another.start()
    another.join(10)
    assert not another.is_alive(), "another thread waits"
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) < before + (5 if "memcached" in url else 30)


def at_line(number, call):
    """Break a call off where it comes to the so manieth line that counts a publication; whether it came there."""
    left = number

    def trace(frame, event, _):
        nonlocal left
        if not frame.f_code.co_filename.endswith("/amqp/channels/confirms.py"):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise Interrupted
        return trace

    sys.settrace(trace)
    try:
        call()
    except Interrupted:
        return True
    finally:
        sys.settrace(None)
    return False


def sends(_, url):
    app = Canvas("interrupted", broker=url, set_as_current=False)
    send = partial(app.send_task, "t", queue="sent")
    send()
    for number in range(1, 11):
        assert at_line(number, send)
        began = time.monotonic()
        send()
        took = time.monotonic() - began
        assert took < 5, (number, took)  # a lost confirm is waited for during ten seconds


if __name__ == "__main__":
    programs = {one.__name__: one for one in (numbers, connections, lengths, sends, records, waits)}
    programs[sys.argv[1]](Interrupter(), sys.argv[2])
