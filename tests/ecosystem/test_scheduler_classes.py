"""Beat with a scheduler class of the project's own: ``canvas celery -A proj beat -S proj.Scheduler``."""

import pytest

from tests.ecosystem.running import environment, running, until

EXPECTED = {
    "started TenantScheduler 0.2", "due often", "due tenant", "applied often", "applied tenant", "ran by the settings",
    "ran by a tenant",
}  # fmt: skip


@pytest.mark.parametrize("named", ["scheduled.TenantScheduler", "scheduled:TenantScheduler", None])
def test_a_scheduler_of_the_project(redis_server, tmp_path, named):
    """``None``: ``beat_scheduler`` is the class itself."""
    env = environment(redis_server, tmp_path, **({} if named else {"BY_SETTING": "1"}))
    notes, file = tmp_path / "notes", tmp_path / "schedule"
    words = [*(("-S", named) if named else ()), "-s", str(file), "--max-interval", "0.2"]
    with running("scheduled", "beat", *words, env=env, folder=tmp_path, ready="beat: Starting...") as log:
        until(lambda: notes.exists() and set(notes.read_text().splitlines()) >= EXPECTED, log)
    lines = log.read_text()
    assert "    . scheduler -> scheduled.TenantScheduler\n" in lines
    assert f"    . db -> {file}\n" in lines
    assert "entries: ['often', 'tenant']" in lines
    assert "Scheduler: Sending due task tenant (scheduled.ran)" in lines
    assert "beat: Shutting down..." in lines
    assert set(notes.read_text().splitlines()) == EXPECTED
