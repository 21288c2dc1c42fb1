"""Bootsteps, options, requests with hooks, a loader and the worker's state, in a project written for Celery."""

import json

import pytest

from tests.ecosystem.running import client, environment, until, worker


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.slow)])
def test_a_worker_with_parts_of_its_users(redis_server, tmp_path, pool):
    env = environment(redis_server, tmp_path)
    notes = tmp_path / "notes"
    with worker("steps", "--beacon", "-P", pool, "-c", "2", "-n", "w@%h", env=env, folder=tmp_path) as log:
        until((tmp_path / "beacon").exists, log)
        until(lambda: "takes ['celery']" in notes.read_text(), log)
        before = notes.read_text().split("\n")
        if pool == "prefork":
            assert json.loads(client("steps_client.py", env)) == {"total": 6, "places": 2}
    after = notes.read_text().split("\n")
    node = next(line for line in before if line.startswith("init")).split()[-1]
    assert before.index(f"init True green {node}") < before.index("create after") < before.index("start beacon")
    assert before.index("start beacon") < before.index(f"consumer of {node}") < before.index(f"ready 0 2 {node}")
    assert after.index("stop consumer") < after.index("stop beacon")
    assert not (tmp_path / "beacon").exists()
    assert "never" not in after
    assert "loader: worker init" in before
    assert "bound steps" in before
    assert f"pool celery.concurrency.{pool.removesuffix('s')} TaskPool" in before
    if pool == "prefork":
        expected = {
            "accepted steps.slow", "timeout soft 0.2", "success was told", "retry Retry in 0s", "success flaky is done",
            "failure ValueError steps.fails True", "timeout hard 0.3", "failure TimeLimitExceeded steps.too_slow True",
            "loader: steps.flaky",
        }  # fmt: skip
        assert expected - set(after) == set()
