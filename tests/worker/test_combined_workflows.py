"""Each construct of workflows inside of each other one, compared with a plain evaluation: what it gives and what runs.

Runs go on to their end; fail and are resumed; are cancelled and are resumed; are undone and are resumed; and run again.
"""

import asyncio
import itertools
from collections import Counter
from contextlib import suppress

import pytest

from canvas.errors import CompositionError, RunLost
from canvas.testing.contract import eventually
from tests.support.combined_app import evaluated
from tests.support.combined_workflows import BODIES, FRAMES, SIGNALLED

pytestmark = pytest.mark.timeout(300)
PAIRS = list(itertools.product(FRAMES, BODIES))
WITHIN = 120


class Direct:
    """Calls of a program without an event loop."""

    def call(self, run, method, *args, **kwargs):
        return getattr(run, method)(*args, **kwargs)


class OnLoop:
    """The same calls on an event loop."""

    def __init__(self):
        self._runner = asyncio.Runner()

    def call(self, run, method, *args, **kwargs):
        return self._runner.run(getattr(run, f"a{method}")(*args, **kwargs))


class Started:
    """A run of a frame around a body."""

    def __init__(self, combined, client, frame, body):
        self.combined, self.client, self.frame, self.body = combined, client, frame, body
        flow, self.holder = combined.composed(frame, body)
        self.run = client.call(flow, "apply_async")

    def over(self):
        return self.client.call(self.run, "status").over

    def call(self, method, *args):
        return self.client.call(self.run, method, *args)

    def counted(self, *names):
        """What has succeeded of these tasks."""
        found = self.combined.ran.get(self.run.id, Counter())
        return Counter({key: times for key, times in found.items() if key[0] in names})

    def ran(self):
        return self.counted("more", "total", "pair", "checked", "above", "asked", "last")

    def cleaned(self):
        return self.counted("cleaned").total()


def signalled(combined, client, runs):
    """Give each run inside that waits its signal, in each of its attempts."""
    roots = {one.run.id for one in runs}
    for name in [name for name in combined.waiting if name.partition(".")[0] in roots]:
        with suppress(CompositionError, RunLost):  # it has ended
            run = combined.app.workflow(name)
            client.call(run, "signal", "go", SIGNALLED, f"attempt {run.attempt}")


def started(combined, client, pairs, failing=""):
    """Runs of all pairs that have ended; the task ``failing`` failed the first time in each."""
    combined.failing = failing
    runs = [Started(combined, client, *pair) for pair in pairs]
    all_over(combined, client, runs)
    combined.failing = ""
    return runs


def all_over(combined, client, runs):
    left = list(runs)

    def check():
        signalled(combined, client, left)
        left[:] = [one for one in left if not one.over()]
        return not left

    try:
        eventually(check, WITHIN)
    except AssertionError:
        raise AssertionError([(one.frame, one.body, str(one.run.status())) for one in left]) from None


def assert_as_evaluated(runs, times=1, exactly=True):
    for one in runs:
        value, ran = evaluated(one.frame, one.body)
        where = one.frame, one.body, one.run.status()
        assert one.call("get", 20) == value, where
        wanted = Counter({key: count * times for key, count in ran.items()})
        assert one.ran() == wanted if exactly else one.ran() >= wanted, (where, one.ran() - wanted, wanted - one.ran())


def to_its_end(combined, client, pairs):
    runs = started(combined, client, pairs)
    assert_as_evaluated(runs)
    assert {(one.frame, one.body): one.cleaned() for one in runs if one.body != "finally" and one.cleaned() != 1} == {}


def fails_once(combined, client, pairs):
    """Its last step inside fails the first time that it runs in a run."""
    runs = started(combined, client, pairs, failing="checked")
    for one in runs:
        assert one.call("query") == "FAILURE", (one.frame, one.body, one.run.status())
        assert one.call("resume"), (one.frame, one.body)
    all_over(combined, client, runs)
    assert_as_evaluated(runs)


def cancelled(combined, client, pairs):
    runs = [Started(combined, client, *pair) for pair in pairs]
    signalled(combined, client, runs)
    ended = [one for one in runs if not one.call("cancel")]
    eventually(lambda: all(one.over() for one in runs), WITHIN)
    for one in runs:
        left = [run for run in combined.app.runs(state=["PENDING", "STARTED"]) if run.id.startswith(f"{one.run.id}.")]
        assert left == [], (one.frame, one.body)
        assert one in ended or one.call("resume") or one.call("query") == "SUCCESS", (one.frame, one.body)
    all_over(combined, client, runs)
    assert_as_evaluated(runs)


def undone(combined, client, pairs):
    """The last node fails the first time: what has succeeded inside is undone, and runs again."""
    runs = started(combined, client, pairs, failing="last")
    for one in runs:
        _, ran = evaluated(one.frame, one.body)
        wanted = Counter({("undo", key[1]): times for key, times in ran.items() if key[0] == "checked"})
        eventually(lambda one=one, wanted=wanted: one.counted("undo") >= wanted)
        assert one.counted("undo") == wanted, (one.frame, one.body)
        assert one.call("resume"), (one.frame, one.body)
    all_over(combined, client, runs)
    assert_as_evaluated(runs, exactly=False)


def again(combined, client, pairs):
    runs = started(combined, client, pairs)
    for one in runs:
        assert one.call("again", one.holder), (one.frame, one.body)
    all_over(combined, client, runs)
    assert_as_evaluated(runs, times=2)


COURSES = [to_its_end, fails_once, cancelled, undone, again]


@pytest.mark.parametrize("client", [Direct, OnLoop])
@pytest.mark.parametrize("course", COURSES)
def test_some_runs_come_to_what_a_plain_evaluation_comes_to(combined, client, course):
    """Each body and each frame; in ten tests more than half of the pairs."""
    shift = 2 * COURSES.index(course) + (client is OnLoop)
    bodies = list(BODIES)
    course(combined, client(), [(frame, bodies[(at + shift) % len(bodies)]) for at, frame in enumerate(FRAMES)])


@pytest.mark.slow
@pytest.mark.parametrize("client", [Direct, OnLoop])
@pytest.mark.parametrize("course", COURSES)
def test_all_runs_come_to_what_a_plain_evaluation_comes_to(combined, client, course):
    course(combined, client(), PAIRS)
