"""A program's own result backend, by Celery's classes, in a worker of canvas; the client is served by canvas, or is Celery."""

import pytest

from tests.ecosystem.running import client, environment, worker


@pytest.mark.parametrize("as_celery", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["canvas", "celery"])
@pytest.mark.parametrize("kind", ["folder", pytest.param("vault", marks=pytest.mark.slow)])
def test_results_in_a_class_of_the_program_s(redis_server, tmp_path, kind, as_celery):
    redis_server.client().flushall()
    env = environment(redis_server, tmp_path, KIND=kind)
    with worker("stored", "-c", "2", env=env, folder=tmp_path):
        assert client("stored_client.py", env, as_celery=as_celery).split() == ["stored"]
