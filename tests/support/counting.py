"""Work that is counted instead of timed: how many functions a call calls, also for each step of a workflow's run."""

import gc
import sys
from collections import Counter

from canvas import telemetry
from canvas.drivers.ports.values import Lease
from canvas.drivers.redis.connection.resp import poll_briefly
from canvas.worker.in_process import InProcess


def counted(call, collect=True):
    """How many functions, of Python and of C, a call calls without listeners.

    What other tests left to be collected, and the signals that they have connected for good, are not its own. How often
    it polls for a reply depends on the server's speed, and does not count.
    """
    calls = Counter()

    def profile(frame, event, argument):
        calls[event] += frame.f_code is not poll_briefly.__code__

    if collect:
        gc.collect()
    gc.disable()
    connected, telemetry.listeners = telemetry.listeners, {}
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
        telemetry.listeners = connected
        gc.enable()
    return calls["call"] + calls["c_call"]


def fewest(call):
    """The least of three counts: what is made once a second, such as the text of a time, is not in all of them."""
    return min(counted(call) for _ in range(3))


class Steps(InProcess):
    """A run in this process, each step of which is counted: sending, each task, each end of a chord."""

    def __init__(self, app, most):
        super().__init__(app)
        self._most = most
        self.calls = []

    def count(self, call):
        results = []
        self.calls.append(counted(lambda: results.append(call()), collect=False))
        return results[0]

    def take(self, sig):
        """Send ``sig`` and take the first steps of its run; the calls of each."""
        sender = self.app.sender
        self.count(lambda: sender.send(sig, sender.plan(sig, (), {}, {}), {}))
        while len(self.calls) < self._most and (leased := self._broker.lease(Lease("steps", ("here",), 1))):
            settlement = self.count(lambda: self._pipeline.run(leased[0]))
            waiting = list(self._settler.settle([settlement]).verdicts[0].ready)
            while waiting:
                end = self.count(lambda: self._pipeline.complete_chord(waiting.pop(0)))  # noqa: B023 - called at once
                waiting += self._settler.dispatch_chord(end).ready
        return self.calls
