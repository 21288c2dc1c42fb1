"""Plug-ins of Celery, unchanged, on canvas: client and worker in an environment of their own; Flower beside the tests."""

import json
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.ecosystem.running import PROJECTS, client, environment, until, worker
from tests.support.redis_server import free_port

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ["celery-once==3.0.1", "celery-singleton==0.3.1", "celery-progress==0.5", "celery-dyrygent==0.8.0",
            "asgi-correlation-id==4.3.4", "sphinx==8.2.3", "celery-heimdall==1.0.1", "celery-pydantic==1.0.1",
            "celery-eternal==0.1.1", "sqlalchemy-celery-beat==0.9.1", "bugsnag==4.9.2", "rollbar==1.5.0",
            "celery-prometheus-exporter==1.7.0"]  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment with canvas and the plug-ins; Celery is there, too, because they require it."""
    folder = tmp_path_factory.mktemp("plugins") / "env"
    venv.create(folder)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "-e", ROOT, *PACKAGES]
    subprocess.run(install, check=True, timeout=500)
    return str(python)


def test_plugins(redis_server, tmp_path, python):
    redis_server.client().flushall()
    env = environment(redis_server, tmp_path)
    with worker("plugged", "-c", "2", env=env, folder=tmp_path, python=python):
        done = client("plugged_client.py", env, python=python).split()
    assert done == ["celery-once", "celery-singleton", "asgi-correlation-id", "celery-progress", "celery-dyrygent"]


def test_packages_for_tasks_schedules_and_errors(redis_server, tmp_path, python):
    redis_server.client().flushall()
    redis_server.client(1).flushall()
    env = environment(redis_server, tmp_path)
    with worker("helped", "-B", "-c", "2", env=env, folder=tmp_path, python=python) as log:
        done = client("helped_client.py", env, python=python).split()
        assert "Cannot add entry" not in log.read_text()
    assert done == [
        "celery-pydantic", "celery-heimdall", "bugsnag", "rollbar", "celery-eternal", "sqlalchemy-celery-beat"
    ]  # fmt: skip


def test_an_exporter_of_metrics(redis_server, tmp_path, python):
    """``celery-prometheus-exporter`` counts the tasks of a worker by their events."""
    redis_server.client().flushall()
    env, port = environment(redis_server, tmp_path), free_port()
    command = [python, "-m", "canvas.as_celery", "-m", "celery_prometheus_exporter", "--enable-events",
               "--broker", env["BROKER"], "--addr", f"127.0.0.1:{port}"]  # fmt: skip
    program = "import canvas, helped; helped.tick.delay('sent').get(timeout=30)"

    def metrics():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as reply:
                return reply.read().decode()
        except OSError:
            return ""

    with (
        worker("helped", "-E", "-c", "1", env=env, folder=tmp_path, python=python),
        (tmp_path / "exporter").open("w") as log,
    ):
        exporter = subprocess.Popen(command, cwd=PROJECTS, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: "celery_workers 1.0" in metrics(), tmp_path / "exporter")
            subprocess.run([python, "-c", program], cwd=PROJECTS, check=True, timeout=60,
                           env={**env, "CANVAS_AS_CELERY": "1"})  # fmt: skip
            line = 'celery_tasks_by_name{name="helped.tick",state="SUCCESS"} 1.0'
            until(lambda: line in metrics(), tmp_path / "exporter")
        finally:
            exporter.terminate()
            exporter.wait(20)


TASKS = '''
"""Tasks of a project."""
from celery import Celery, shared_task
app = Celery("documented", broker="memory://")

@app.task
def add(x: int, y=2) -> int:
    """Add."""

@shared_task(bind=True)
def later(self, z):
    """Do it later."""
'''
PAGE = """
Tasks
=====
.. automodule:: documented
   :members:

See :py:task:`documented.add`.
"""


def test_documentation_by_sphinx(tmp_path, python):
    """The extension ``celery.contrib.sphinx`` gives the page that Celery's gives."""
    (tmp_path / "conf.py").write_text("import sys; sys.path.insert(0, '.')\nextensions = ['celery.contrib.sphinx']\n")
    (tmp_path / "documented.py").write_text(TASKS)
    (tmp_path / "index.rst").write_text(PAGE)
    pages = {}
    for name, way in {"celery": [], "canvas": ["-m", "canvas.as_celery"]}.items():
        command = [python, *way, "-m", "sphinx", "-q", "-b", "text", ".", name]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
        pages[name] = (tmp_path / name / "index.txt").read_text()
    assert "(task)documented.later(z)" in pages["celery"]
    assert pages["canvas"] == pages["celery"]


def answer(url, data=None):
    request = urllib.request.Request(url, data=data, method="GET" if data is None else "POST")
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.loads(reply.read())


def test_flower_with_the_app(redis_server, tmp_path):
    """``canvas celery -A proj flower``: Flower reads canvas' app, events and results."""
    env = environment(redis_server, tmp_path, FLOWER_UNAUTHENTICATED_API="true")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "canvas",
        "celery",
        "-A",
        "shop",
        "flower",
        f"--port={port}",
        "--address=127.0.0.1",
    ]
    url = f"http://127.0.0.1:{port}"

    def workers():
        try:
            return list(answer(f"{url}/api/workers?refresh=true"))
        except OSError:
            return []

    def state(task_id):
        try:
            return answer(f"{url}/api/task/info/{task_id}")["state"]
        except OSError:
            return None

    with worker("shop", "-E", "-c", "1", "-n", "w@h", env=env, folder=tmp_path), (tmp_path / "flower").open("w") as log:
        flower = subprocess.Popen(command, cwd=PROJECTS, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: workers() == ["w@h"], tmp_path / "flower")
            task_id = answer(f"{url}/api/task/async-apply/shop.add", b'{"args": [1, 2]}')["task-id"]
            until(lambda: state(task_id) == "SUCCESS", tmp_path / "flower")
            assert answer(f"{url}/api/task/result/{task_id}")["result"] == 3
            limited = urllib.request.Request(f"{url}/api/task/rate-limit/shop.add", data=b"workername=w@h&ratelimit=5")
            assert b"new rate limit set" in urllib.request.urlopen(limited, timeout=20).read()
            for path in ("/", "/tasks", "/broker", "/metrics", "/worker/w@h"):
                assert urllib.request.urlopen(url + path, timeout=20).status == 200
        finally:
            flower.terminate()
            flower.wait(20)
