"""Sentry in an unchanged project: a transaction for each task in the caller's trace, an event for each failure."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.ecosystem.running import client, environment, until, worker

ROOT = Path(__file__).parent.parent.parent
OLDEST = ["click==8.1.3", "sentry-sdk==1.45.1"]
"""Versions that projects for Celery 5.3 pin."""
PROCESSED = {
    "messaging.system": "redis", "messaging.destination.name": "celery", "messaging.message.retry.count": 0,
}  # fmt: skip


def python_of(client_is, folder):
    """The Python of the worker: with the libraries beside the tests, or in an environment with older ones."""
    if client_is != "older libraries":
        return sys.executable
    venv.create(folder / "env")
    python = folder / "env" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "-e", ROOT, *OLDEST]
    subprocess.run(install, check=True, timeout=300)
    return str(python)


@pytest.mark.parametrize("client_is", [
    "canvas", pytest.param("celery", marks=pytest.mark.slow),
    pytest.param("older libraries", marks=[pytest.mark.slow, pytest.mark.timeout(400)]),
])  # fmt: skip
def test_tasks_are_reported(redis_server, tmp_path, client_is):
    """With a client of canvas; of Celery, with sentry-sdk's own integration; and both of canvas, with older libraries."""
    redis_server.client().flushall()
    python = python_of(client_is, tmp_path)
    env = environment(redis_server, tmp_path)
    path = tmp_path / "sentry"

    def tasks():
        found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return found, [
            one for one in found if one.get("contexts", {}).get("trace", {}).get("op") == "queue.task.celery"
        ]

    with worker("watched", "-c", "2", env=env, folder=tmp_path, python=python) as log:
        trace = client("watched_client.py", env, client_is != "celery", python=python).strip()
        until(lambda: len([one for one in tasks()[1] if one.get("type") == "transaction"]) >= 8, log)
    found, transactions = tasks()
    transactions = [one for one in transactions if one.get("type") == "transaction"]

    def states(ones):
        return sorted((one["transaction"], one["contexts"]["trace"]["status"]) for one in ones)

    of_worker = [one for one in transactions if one["contexts"]["trace"]["trace_id"] == trace]
    assert states(of_worker) == [
        ("watched.add", "ok"), ("watched.again", "aborted"), ("watched.again", "ok"),
        ("watched.expected", "internal_error"), ("watched.fails", "internal_error"),
    ]  # fmt: skip
    eager = [one for one in transactions if one not in of_worker]
    failed = ("watched.fails", "internal_error")
    assert states(eager) == [("watched.add", "ok"), failed, failed]
    (process,) = (span for one in of_worker for span in one["spans"] if one["transaction"] == "watched.add")
    assert process["op"] == "queue.process"
    assert process["data"].items() >= PROCESSED.items()
    assert process["data"]["messaging.message.receive.latency"] > 0
    (of_client,) = (one for one in found if one.get("transaction") == "client")
    published = [span for span in of_client["spans"] if span["op"] == "queue.publish"]
    assert sorted(span["description"] for span in published) == [
        "watched.add", "watched.add", "watched.again", "watched.expected", "watched.fails"
    ]  # fmt: skip
    assert all(span["data"].items() >= PROCESSED.items() for span in published)
    events = {one["extra"]["celery-job"]["args"][0]: one for one in found if "exception" in one}
    assert set(events) == {"secret", "eager", "thrown"}
    for event in events.values():
        (error,) = event["exception"]["values"]
        assert error["type"] == "ValueError"
        assert error["mechanism"] == {"type": "celery", "handled": False}
        assert error["stacktrace"]["frames"][-1]["function"] == "fails"
        assert event["extra"]["celery-job"]["task_name"] == "watched.fails"
        assert event["contexts"]["trace"].items() >= {"op": "queue.task.celery", "status": "internal_error"}.items()
        assert event["tags"]["celery_task_id"]
        assert "adding" not in json.dumps(event.get("breadcrumbs", {}))
