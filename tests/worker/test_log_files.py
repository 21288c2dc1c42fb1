"""Log files and JSON logs of real workers: no line is lost, whatever it holds, wherever the file has gone."""

import json
import time

import pytest

from canvas import Canvas
from tests.support.processes import ROOT, WorkerProcess

MODULE = """
import logging, sys
from canvas import Canvas
from canvas.log import get_task_logger

app = Canvas("lines", broker={broker!r}, backend={backend!r}, worker_redirect_stdouts={redirect!r})
lines, of_tasks = logging.getLogger("lines"), get_task_logger("lines.tasks")

class Bad:
    def __repr__(self):
        raise RuntimeError("no repr")

@app.task(name="lines.say")
def say(text):
    lines.warning("said %s", text)

@app.task(name="lines.odd")
def odd():
    circle, listed = {{}}, []
    circle["me"] = circle
    listed.append(listed)
    extras = [{{"k": {{("a", 1): 2}}}}, {{"k": circle}}, {{"k": listed}}, {{"k": float("nan")}}, {{"k": -float("inf")}},
              {{"k": Bad()}}, {{"k": {{Bad(): 1}}}}, {{5: "number", Bad: 1}}, {{"k": b"bytes"}}, {{"k": 10**9000}}, {{"k": "\\udcff"}},
              {{"time": "mine", "level": "mine", "message_": 1, "pid": 0, "logger": None}}]
    for number, extra in enumerate(extras):
        lines.info("odd %s", number, extra=extra)
    lines.info("odd %d", "of arguments")
    lines.info("odd %s", Bad())
    of_tasks.info("odd of a task", stack_info=True)
    print("printed", "with", "commas")
    print("printed without an end", end="")

@app.task(name="lines.fails")
def fails():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no text")
    raise Broken
"""


@pytest.fixture
def start(tmp_path, redis_url, result_url):
    workers = []

    def start(*arguments, redirect=True, **env):
        (tmp_path / "lines.py").write_text(MODULE.format(broker=redis_url, backend=result_url, redirect=redirect))
        env = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **env}
        worker = WorkerProcess("canvas", redis_url, result_url, *arguments, app="lines", env=env, cwd=tmp_path)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.stop()


@pytest.fixture
def client(redis_url, result_url):
    with Canvas("client", broker=redis_url, backend=result_url, set_as_current=False) as app:
        yield app


def run(client, name, *args):
    return client.send_task(name, args).get(timeout=30, propagate=False)


def text_of(path, wanted):
    """The file's text, once it holds ``wanted``."""
    deadline = time.monotonic() + 20
    while not (path.exists() and wanted in path.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, f"{wanted!r} is not in {path}"
        time.sleep(0.05)
    return path.read_text(encoding="utf-8")


def test_log_files_in_a_c_locale(start, client, tmp_path):
    names = ("-c", "1", "-n", "w1@%h", "-f", "%n%I.log", "--pidfile", "%n.pid")
    worker = start(*names, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    run(client, "lines.say", "grüße")
    text_of(tmp_path / "w1.log", "ready.")
    assert (tmp_path / "w1.pid").read_text() == f"{worker.process.pid}\n"
    child = tmp_path / "w1-1.log"
    assert "WARNING/ForkPoolWorker-1] said grüße" in text_of(child, "said gr")
    run(client, "lines.say", "wrong \udcff name")
    text_of(child, "said wrong \\udcff name")
    child.rename(tmp_path / "w1-1.log.1")
    run(client, "lines.say", "after rotation")
    assert "wrong" not in text_of(child, "said after rotation")
    worker.stop()
    assert sorted(path.name for path in tmp_path.glob("*w1*")) == ["w1-1.log", "w1-1.log.1", "w1.log"]


def test_json_lines_hold_whatever_is_logged(start, client):
    worker = start("-P", "solo", "--log-json", redirect=False)
    run(client, "lines.odd")
    run(client, "lines.fails")
    worker.wait_for('"logger": "celery.app.trace", "message": "Task lines.fails')
    worker.wait_for("printed with commas")
    banner_ends = next(number for number, line in enumerate(worker.log) if line.startswith("{"))
    lines = [line for line in worker.log[banner_ends:] if not line.startswith("printed")]

    def no_constant(name):
        raise AssertionError(f"{name} is no JSON")

    found = [json.loads(line, parse_constant=no_constant) for line in lines]
    odd = {one["message"]: one for one in found if one["message"].startswith("odd")}
    assert len(odd) == 15
    assert odd["odd 0"]["k"] == {"('a', 1)": 2}
    assert odd["odd 1"]["k"] == {"me": "<dict that contains itself>"}
    assert [odd[f"odd {n}"]["k"] for n in (3, 4)] == ["nan", "-inf"]
    assert odd["odd 7"]["5"] == "number"
    assert odd["odd 11"]["extra_time"] == odd["odd 11"]["extra_level"] == "mine"
    assert {one["pid"] for one in found} == {worker.process.pid}
    assert {one["level"] for one in odd.values()} == {"INFO"}
    of_task = odd["odd of a task"]
    assert (of_task["task_name"], "Stack" in of_task["stack"]) == ("lines.odd", True)
    failed = next(one for one in found if "lines.fails" in one["message"] and one["level"] == "ERROR")
    assert failed["task_name"] == "lines.fails"
    assert "Broken" in failed["traceback"]
    assert failed["data"]["id"] == failed["task_id"]


def test_what_tasks_print_is_logged(start, client):
    worker = start("-P", "threads", "-c", "1")
    run(client, "lines.odd")
    worker.wait_for("WARNING/MainProcess] printed with commas")
    worker.wait_for("WARNING/MainProcess] printed without an end")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-f", "nowhere/w.log"], "--logfile nowhere/w.log: cannot be opened: No such file or directory"),
        (["-f", "%x.log"], "'%x.log': unknown pattern %x"),
        (["-n", "w%q@%h"], "unknown pattern %q"),
    ],
)
def test_names_that_cannot_be(start, arguments, reason):
    worker = start(*arguments, TERM="dumb")
    assert worker.wait() == 2
    assert reason in " ".join("".join(worker.log).split())
    assert "Traceback" not in "".join(worker.log)
