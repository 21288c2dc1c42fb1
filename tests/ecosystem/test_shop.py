"""A project with the constructs that public projects have, unchanged: client and worker by canvas, and by Celery."""

import json

import pytest

from tests.ecosystem.running import celery, client, environment, until, worker


@pytest.mark.parametrize("as_celery", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["canvas", "celery"])
def test_a_shop(redis_server, tmp_path, as_celery):
    """``as_celery``: whether the client is canvas, too; else it is Celery's, with the same files."""
    redis_server.client().flushall()
    env = environment(redis_server, tmp_path)
    with worker("shop", "-E", "-c", "2", "-n", "w@%h", env=env, folder=tmp_path) as log:
        types, alive, _ = json.loads(client("shop_client.py", env, as_celery))
        until(lambda: "letter hello" in (tmp_path / "notes").read_text(), log)
        if as_celery:
            assert "nightly" in celery("shop", "schedule", "list", env=env)
    assert {"shop.add", "shop.fails", "shop.slow_count", "shop.tells", "shop.urgent"} <= set(types)
    assert alive
    notes = (tmp_path / "notes").read_text().split("\n")
    expected = {"prerun True blue shop.add", "success blue", "failure True KeyError True", "postrun blue FAILURE",
                "on_success shop.add 3", "letter hello", "on_failure shop.endless TimeLimitExceeded [60] True",
                "after_return shop.endless FAILURE TimeLimitExceeded"}  # fmt: skip
    assert expected - set(notes) == set()
    lines = log.read_text()
    assert "DONE shop.add" in lines
    assert "TASKLOG shop.add adding" in lines
