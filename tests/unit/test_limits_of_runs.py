"""The limit of a workflow's run, as the stamps of its messages name it: a message may carry any value as its stamps."""

import pytest

from canvas.model.workflow_run import RUN_LIMIT, STAMP
from canvas.workflows.steps.attempt import run_limit


def test_the_stamps_of_a_limited_run_name_it():
    assert run_limit({STAMP: "a-run:2", RUN_LIMIT: 3, "other": "x"}) == ("a-run", 3)


@pytest.mark.parametrize(
    "stamps",
    [
        *(None, 7, True, "canvas_run_limit", [RUN_LIMIT, STAMP], {}, {STAMP: "a-run:2"}, {RUN_LIMIT: 3}),
        *({STAMP: "a-run:2", RUN_LIMIT: wrong} for wrong in (0, -1, True, "3", 1.5, [3], None)),
        *({STAMP: wrong, RUN_LIMIT: 3} for wrong in (None, 7, ["a-run:2"])),
    ],
    ids=repr,
)
def test_other_stamps_name_none(stamps):
    assert run_limit(stamps) is None
