"""The web applications of docs/examples, started and driven with a worker of theirs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
FASTAPI = """
import json
import time
from fastapi.testclient import TestClient
from tasks import app
from web import web
from canvas.testing.worker import start_worker

def events(text):
    blocks = [block.splitlines() for block in text.strip().split("\\n\\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]

with TestClient(web) as client, start_worker(app, pool="threads"):
    started = client.post("/reports", params={"pages": 3})
    task_id = started.json()["id"]
    report = client.get(f"/reports/{task_id}").json()
    stream = client.get(f"/reports/{task_id}/events")
    found = events(stream.text)
print(json.dumps([started.status_code, report, stream.headers["content-type"].partition(";")[0], found[-1]]))
"""
AWAY = """
import json
from fastapi.testclient import TestClient
from tasks import app
from web import web
app.conf.task_publish_retry = False
with TestClient(web) as client:
    answer = client.post("/reports", params={"pages": 3})
print(json.dumps([answer.status_code, answer.json()["detail"]]))
"""
FLASK = """
import json
import time
from shop import app, canvas_app
from canvas.testing.worker import start_worker

client = app.test_client()
with start_worker(canvas_app, pool="threads"):
    task_id = client.post("/greetings", data={"name": "Ada"}).json["id"]
    deadline = time.monotonic() + 30
    while not (found := client.get(f"/greetings/{task_id}").json)["ready"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
print(json.dumps(found))
"""


def run(folder, program, redis):
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=EXAMPLES / folder, env={**os.environ, "REDIS_URL": redis},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def redis(redis_server):
    redis_server.client().flushall()
    return redis_server.url(0).rpartition("/")[0]


def test_fastapi(redis):
    assert run("web_fastapi", FASTAPI, redis) == [
        202, {"report": "a report of 3 pages"}, "text/event-stream", ["SUCCESS", "a report of 3 pages"],
    ]  # fmt: skip


@pytest.mark.slow
def test_fastapi_without_its_broker():
    assert run("web_fastapi", AWAY, "redis://127.0.0.1:1") == [503, "the queue does not answer; try again"]


def test_flask(redis):
    assert run("web_flask", FLASK, redis) == {"ready": True, "greeting": "Hello Ada"}
