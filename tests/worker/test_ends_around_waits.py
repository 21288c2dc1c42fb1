"""What ends around runs inside that wait ends them too: the run, its time, the limit of a node, a race."""

import pytest

from canvas import Workflow
from canvas.testing.contract import eventually
from tests.support.combined_workflows import FRAMES, sig

NEVER = {"map": 3, "line": 2, "pages": 2, "limit of a map": 2, "grown in a map": 2}
"""How many runs inside begin at once, where it is not one."""
LIMITED = ["node", "map", "lanes", "loop", "until", "pages", "grown", "grown in a loop", "grown in a map"]
"""Frames whose last node may have a limit of its own."""


def never_ending(combined, frame, ends):
    """A workflow with runs inside that would wait for ever."""
    app, flow = combined.app, Workflow(f"{frame} {ends}", combined.app)
    value = FRAMES[frame].compose(app, flow, lambda: combined.inside("never"), "never")
    if ends == "limit":
        value = flow.timeout(value, 0.5, otherwise=7)
    elif ends == "race":
        value = flow.first(value, flow.add(sig(app, "total", [7]), after=flow.sleep(0.5)))
    flow.add(sig(app, "last", value), name="last")
    flow.finally_(sig(app, "cleaned"), name="cleanup")
    return flow


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ends", ["cancel", "timeout", "limit", "race"])
def test_what_ends_around_runs_that_wait_ends_them_too(combined, ends):
    """Each of them runs its ``finally_`` once."""
    runs = {}
    for frame in LIMITED if ends == "limit" else FRAMES:
        options = {"timeout": 0.5} if ends == "timeout" else {}
        runs[frame] = never_ending(combined, frame, ends).apply_async(**options)

    def inside(run):
        return [name for name in list(combined.waiting) if name.startswith(run.id)]

    for frame, run in runs.items():
        eventually(lambda run=run, frame=frame: len(inside(run)) == NEVER.get(frame, 1), 30)
        if ends == "cancel":
            assert run.cancel()
    for frame, run in runs.items():
        eventually(lambda run=run: run.status().over, 30)
        assert run.status().state == ("CANCELLED" if ends in ("cancel", "timeout") else "SUCCESS"), (
            frame,
            run.status(),
        )
        assert ends in ("cancel", "timeout") or run.get(timeout=20) == 7, frame
        for name in inside(run):
            eventually(lambda name=name: combined.app.workflow(name).status().state == "CANCELLED", 30)
        wanted = len(inside(run)) + 1
        eventually(lambda run=run, wanted=wanted: combined.ran[run.id]["cleaned", 0] >= wanted, 30)
        assert combined.ran[run.id]["cleaned", 0] == wanted, frame
