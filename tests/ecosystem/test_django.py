"""cookiecutter-django's set-up of Celery, unchanged."""

from tests.ecosystem.running import PROJECTS, client, environment, worker


def test_cookiecutter_django(redis_server, tmp_path):
    redis_server.client().flushall()
    env = environment(redis_server, tmp_path, DJANGO_SETTINGS_MODULE="config.settings")
    project = PROJECTS / "cookie"
    with worker("config.celery_app", "-c", "1", env=env, folder=tmp_path, cwd=project) as log:
        assert client("client.py", env, cwd=project).split() == ["counted"]
    text = log.read_text()
    assert "COOKIE INFO" in text
    assert "users.tasks.get_users_count" in text
