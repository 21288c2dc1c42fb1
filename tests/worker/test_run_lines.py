"""The lines of runs in logs, as text and as JSON, and what a log says of a line that cannot be written."""

import json
import logging
from contextlib import suppress

import pytest

from canvas import Workflow, chord
from canvas.config.config import Config
from canvas.worker.logs.setup import WorkerLog
from tests.support.apps import make
from tests.support.processes import WorkerProcess


def started(app, name, *tasks):
    flow, before = Workflow(name, app), ()
    for number, sig in enumerate(tasks):
        before = flow.add(sig, name=f"node{number}", after=before)
    return flow.apply_async()


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_ends_of_runs_and_failed_chords_are_said(bench, form, caplog):
    broker, backend, ledger = bench.urls()
    app = make("canvas", broker, backend, ledger=ledger)
    flags = ("--log-json",) if form == "json" else ("-l", "DEBUG")
    sig = app.signature
    with WorkerProcess("canvas", broker, backend, "-P", "solo", *flags, ledger=ledger) as worker:
        with caplog.at_level(logging.INFO, "canvas.workflows.run"):
            good = started(app, "good", sig("t.ident", (1,)), sig("t.ident", (2,)))
        assert f"Workflow run good[{good.id}] started" in caplog.text
        bad = started(app, "bad", sig("t.fail", (1,)), sig("t.ident", (2,)))
        said = {
            good.id: f"Workflow run good[{good.id}] succeeded after ",
            bad.id: f"Workflow run bad[{bad.id}] failed after ",
        }
        for text in said.values():
            worker.wait_for(text)
        lines = [line for line in worker.log if "Workflow run" in line]
        failed = next(line for line in lines if bad.id in line)
        assert f"canvas -A tests.support.apps:app workflow resume {bad.id}" in failed
        assert "ValueError" in failed
        assert f"run {bad.id} failed" not in failed
        lost = chord([sig("t.ident", (1,)), sig("t.fail", (2,))], sig("t.ident"), app=app).apply_async()
        text = f"its body t.ident[{lost.id}] does not run"
        said_of_chord = next(line for line in worker.wait_for(text).log if text in line)
        assert "Chord '" in said_of_chord and " raised: ChordError(" in said_of_chord and "ValueError" in said_of_chord
        if form == "json":
            chord_line = json.loads(said_of_chord)
            assert (chord_line["level"], chord_line["task_id"], chord_line["task_name"]) == (
                "ERROR",
                lost.id,
                "t.ident",
            )
            about = json.loads(failed)
            assert (about["level"], about["run_id"], about["workflow"], about["state"]) == (
                "ERROR", bad.id, "bad", "FAILURE",
            )  # fmt: skip
        else:
            assert "ERROR" in failed
            accepted = next(line for line in worker.log if f"Task accepted: t.ident[{good.id}.0.1] pid:" in line)
            assert "DEBUG" in accepted
            worker.wait_for("is over: its body does not run").wait_for("Messages settled: 1, leased: ")
    app.close()


@pytest.fixture
def loggers():
    """The loggers that a worker's log configures, as they were before."""
    names = (None, "canvas", "celery", "celery.task", "celery.redirected")
    found = [logging.getLogger(name) for name in names]
    before = [(one, one.handlers[:], one.level, one.propagate, one.parent) for one in found]
    yield
    for one, handlers, level, propagate, parent in before:
        for handler in one.handlers:
            if handler not in handlers:
                with suppress(OSError):
                    handler.close()
        one.handlers[:], one.propagate, one.parent = handlers, propagate, parent
        one.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_that_cannot_be_written_is_an_error_in_the_same_log(loggers, tmp_path, capfd, form):
    path = tmp_path / "worker.log"
    log = WorkerLog(Config(), "w@h", "INFO", str(path), json=form == "json")
    log._configure()
    logging.getLogger("shop").warning("%d items", "three")
    logging.getLogger("shop").warning("goes on")
    lines = path.read_text()
    assert "goes on" in lines
    if form == "text":
        assert "ERROR" in lines
        assert "A log line cannot be written: it was logged at" in lines
        assert "test_run_lines.py" in lines
        assert "TypeError: %d format" in lines
    else:
        # The formatter of JSON writes the message as it was given.
        assert all(json.loads(line) for line in lines.splitlines())
    assert capfd.readouterr().err == ""


def test_a_full_disk_is_said_on_standard_error(loggers, capfd):
    WorkerLog(Config(), "w@h", "INFO", "/dev/full")._configure()
    logging.getLogger("shop").warning("too much")
    said = capfd.readouterr().err
    assert "--- Logging error ---" in said
    assert "No space left on device" in said
    assert "'too much'" in said


@pytest.mark.parametrize(
    ("level", "expected"), [("INFO", ["succeeded in", "raised unexpected"]), ("ERROR", ["raised"])]
)
def test_the_lines_of_tasks_follow_the_level(bench, level, expected):
    broker, backend, ledger = bench.urls()
    app = make("canvas", broker, backend, ledger=ledger)
    with WorkerProcess("canvas", broker, backend, "-P", "solo", "-l", level, ledger=ledger) as worker:
        good = app.signature("t.ident", (1,)).delay()
        assert good.get(timeout=20) == 1
        bad = app.signature("t.fail", (1,)).delay()
        worker.wait_for(bad.id)
        assert bad.get(timeout=20, propagate=False)
        ends = [line for line in worker.log if "Task t." in line and " received" not in line]
        assert [word for line, word in zip(ends, expected, strict=True) if word in line] == expected
