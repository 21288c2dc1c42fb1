"""A worker of the release before beside one of now, on one queue and in the same workflows."""

import os
import signal
import subprocess

import pytest

from tests.chaos.workload import assert_nothing_is_left, assert_ran_once, workload
from tests.support.processes import ROOT, members
from tests.worker.commands import start


def before():
    """The commit of the release before: the last tag, or what ``OLD_COMMIT`` names; ``None`` before any release."""
    named = os.environ.get("OLD_COMMIT")
    if named:
        return named
    found = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A checkout of the release before."""
    commit, folder = before(), tmp_path_factory.mktemp("old") / "canvas"
    if commit is None:
        pytest.skip("there is no release before this one; OLD_COMMIT names a commit")
    subprocess.run(["git", "worktree", "add", "--detach", str(folder), commit], cwd=ROOT, check=True)
    yield folder
    subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, check=True)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_they_share_workflows_and_take_over_from_each_other(bench, app, old):
    key, killed = bench.new_key(), set()
    homes = {"old": {"cwd": old, "env": {"PYTHONPATH": str(old)}}, "new": {}}

    def worker(name):
        return start(bench, "-P", "threads", "-c", "2", "-n", f"{name}@%h", short_leases=1, **homes[name])

    fleet = {name: worker(name).ready() for name in homes}
    sent = workload(app, key, 16)
    for turn, notes in enumerate(range(20, 260, 60)):
        bench.ledger(key, notes)
        name = list(homes)[turn % 2]
        killed |= set(members(fleet[name].process.pid))
        fleet[name].signal(signal.SIGKILL)
        fleet[name].wait()
        fleet[name] = worker(name)
    assert [result.get(timeout=90) for result, _ in sent] == [value for _, value in sent]
    for one in fleet.values():
        one.ready().stop()
    assert_ran_once(bench, key, 16, killed)
    assert_nothing_is_left(bench)
