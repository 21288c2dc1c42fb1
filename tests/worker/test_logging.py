"""Loggers, handlers and records of a worker: the same as those of Celery's worker, under the same configuration."""

import json
import re

import pytest

from canvas import Canvas
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer

CALLS = [
    ("l.succeeds", [1]), ("l.fails", [False]), ("l.fails", [True]), ("l.retries", []), ("l.refuses", ["ignore"]),
    ("l.refuses", ["reject"]), ("l.writes", []), ("l.succeeds", ["late"], "2001-01-01T00:00:00+00:00"),
    ("l.succeeds", ["last"]),
]  # fmt: skip


def notes_of(library, case, folder):
    """What the handlers of a worker noted of ``CALLS``: ids, times and seconds left out."""
    path = folder / f"{library}-{case}"
    env = {"LOG_CASE": case, "LOG_NOTES": str(path)}
    arguments = ["-c", "1"] if library == "celery" else ["-c", "1", "--without-mingle"]
    with RedisServer() as server:
        worker = WorkerProcess(
            library, server.url(0), server.url(1), *arguments, app="tests.support.logs:app", env=env,
        )  # fmt: skip
        try:
            with Canvas("client", broker=server.url(0), backend=server.url(1), set_as_current=False) as client:
                results = [client.send_task(name, args, expires=next(iter(at), None)) for name, args, *at in CALLS]
                assert results[-1].get(timeout=60) == "last"
                assert results[3].get(timeout=60) is None
        finally:
            worker.stop()
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", path.read_text())
    text = re.sub(r"(in |in \D*)[0-9.e-]+s", r"\1Ns", text)
    return sorted({json.dumps(note) for note in map(json.loads, text.splitlines())}), "".join(worker.log)


@pytest.fixture(scope="module", params=["keep", "hijack", pytest.param("custom", marks=pytest.mark.slow)])
def both(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    return request.param, *(notes_of(library, request.param, folder) for library in ("canvas", "celery"))


def without_source(note):
    """Celery notes what a task received, and what has expired, in the parent process, canvas in the child that leases
    it."""
    return json.dumps([*json.loads(note)[:6], None]) if "strategy" in note or "Discarding" in note else note


def test_handlers_get_the_records_that_they_get_of_celery(both):
    case, (ours, _), (theirs, _) = both
    ours, theirs = (sorted(map(without_source, notes)) for notes in (ours, theirs))
    assert ours == theirs
    if case == "keep":
        assert any('"celery.app.trace", "celery.app.trace", "ERROR"' in note and "ValueError" in note for note in ours)
        assert any('["celery.task", "some.module", "WARNING", "from the task logger"' in note for note in ours)
        assert any('["celery.redirected", "celery.redirected", "ERROR", "printed"' in note for note in ours)
        assert any("ForkPoolWorker-1" in note for note in ours)


def test_a_failures_line_has_its_traceback_once(both):
    case, (_, ours), _ = both
    if case == "hijack":
        assert ours.count("ValueError: wrong") == 1
        assert "some.module" not in ours
        assert re.search(r"WARNING/ForkPoolWorker-1\] l.writes\[[0-9a-f-]+\]: from the task logger", ours)
        assert "/canvas/worker/" not in ours
