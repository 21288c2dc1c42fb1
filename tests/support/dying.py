"""A process that kills itself as it calls a method of its driver, before or after the call has its effect."""

import itertools
import multiprocessing
import os
import signal

from tests.support.apps import make


def killed_at(bench, instant, step, count=1):
    """Take a step in a process that dies at ``instant``: a part of the driver, its method, and ``before`` or ``after``.
    ``count``: the how manieth call of the method it is. Returns the exit code."""
    broker, backend, ledger = bench.urls()

    def body():
        app = make("canvas", broker, backend, ledger=ledger)
        part, method, when = instant
        target = getattr(app.driver, part)
        whole = getattr(target, method)

        calls = itertools.count(1)

        def dying(*args, **kwargs):
            last = next(calls) == count
            result = whole(*args, **kwargs) if when == "after" or not last else None
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(target, method, dying)
        step(app)

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join(30)
    return process.exitcode
