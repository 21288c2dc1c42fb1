"""Entries in django-celery-beat's tables, next to its own scheduler."""

import json
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

pytestmark = pytest.mark.slow


def ran(library, database, *more):
    command = [sys.executable, "-m", "tests.support.django_beats", library, *more, str(database)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


LATE = 30
"""Seconds by which Celery's beat falls behind in this time: a second with each tick."""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    return {library: ran(library, folder / library) for library in ("celery", "canvas")}


def test_fourteen_hours_give_the_ticks_of_django_celery_beat(both):
    ticks = {library: found[0] for library, found in both.items()}
    names = {name for _, name in ticks["canvas"]}
    assert names == {"hourly", "often", "night", "tokyo", "noon", "clocked", "once", "starts", "ends", "short"}
    for name in names:
        theirs, ours = ([moment for moment, one in ticks[library] if one == name] for library in ("celery", "canvas"))
        assert len(theirs) == len(ours), name
        assert max(abs(one - other) for one, other in zip(theirs, ours, strict=True)) <= LATE, name


def test_the_rows_say_what_django_celery_beat_would_write(both):
    theirs, ours = both["celery"][1], both["canvas"][1]
    assert [row[:3] for row in theirs] == [row[:3] for row in ours]
    for (name, *_, one), (*_, other) in zip(theirs, ours, strict=True):
        assert (one is None) == (other is None) and abs((one or 0) - (other or 0)) <= LATE, name


def test_rows_that_are_no_entries_leave_the_others(tmp_path):
    """A row whose arguments are no JSON is disabled, as by Celery's beat, which ends at some of the others."""
    theirs, ours = (ran(library, tmp_path / library, "wrong") for library in ("celery", "canvas"))
    assert ours == {name: [True, None, name != "args"] for name in ours}
    assert {name: enabled for name, (*_, enabled) in theirs.items()} == {name: one[2] for name, one in ours.items()}
    assert {name for name, (_, error, _) in theirs.items() if error} == {
        "syntax", "huge", "headers list", "no schedule",
    }  # fmt: skip
