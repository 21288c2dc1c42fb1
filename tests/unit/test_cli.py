"""The command line: finding apps, sending, purging, drawing; exit codes."""

import json
import os
import socket
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from click.testing import CliRunner

from canvas.cli import main
from tests.support.command_folder import MODULE, commands_in


@pytest.fixture
def run(tmp_path, redis_url, result_url):
    return commands_in(tmp_path, redis_url, result_url)


@pytest.fixture
def run_program(run, tmp_path):
    """As ``run``, with a Python program that a user starts."""

    def call(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "canvas", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env={**os.environ, **environment},
        )  # fmt: skip

    return call


def test_call_result_and_purge(run, redis_server):
    sent = run("-A", "proj", "call", "proj.add", "-a", "[1, 2]", "-k", "{}", "--countdown", "0")
    assert (sent.returncode, len(sent.stdout.strip())) == (0, 36)
    assert redis_server.client().llen("celery") == 1
    waiting = run("-A", "proj", "result", sent.stdout.strip(), "--timeout", "0.1")
    assert waiting.returncode == 1
    assert "timed out" in waiting.stderr
    assert run("-A", "proj", "purge", "-f").stdout.startswith("Purged 1 message from 1 known task queue.")
    assert run("-A", "proj", "purge", "-f").stdout.startswith("No messages purged from 1 queue.")
    assert run("-A", "proj", "purge").returncode == 1


def test_graph_and_report(run):
    drawn = run("graph", "proj:flow")
    assert drawn.stdout.count("proj.add") == 2
    assert "flowchart" in run("graph", "proj:flow", "--format", "mermaid").stdout
    assert run("graph", "proj:number").returncode == 2
    assert "for workers see: canvas status" in run("graph", "workers").stderr
    sizes = run("graph", "proj:flow", "--compile").stdout
    assert "proj.add[" in sizes
    assert "1 messages, " in sizes
    assert "×n" in run("graph", "proj:work").stdout
    assert run("graph", "proj:work", "--format", "svg").stdout.startswith("<svg")
    assert run("graph", "proj:flow", "--format", "svg").stdout.startswith("<svg")
    sizes = run("graph", "proj:work", "--compile").stdout
    assert sizes.startswith("2 nodes, 1 edges")
    assert "stock Celery workers: add-2: stock Celery workers cannot map over a result" in sizes
    assert "stock Celery workers: 1 messages, 0 chords" in run("graph", "proj:plain", "--compile").stdout
    assert "canvas:" in run("-A", "proj", "report").stdout


@pytest.mark.parametrize("name", ["proj", "proj:app", "proj.app"])
def test_apps_are_found(run_program, name):
    assert run_program("-A", name, "report").returncode == 0


@pytest.mark.parametrize("name", ["nothing", "proj:nothing", "proj:number", "proj.nothing"])
def test_apps_that_are_not_there(run, name):
    found = run("-A", name, "report")
    assert (found.returncode, "Error" in found.stderr) == (2, True)


def test_slips_of_the_hand(run):
    late = run("report", "-A", "proj")
    assert (late.returncode, "before the command" in late.stderr) == (2, True)
    typo = run("wroker")
    assert (typo.returncode, "worker" in typo.stderr) == (2, True)
    assert run("-A", "proj", "call", "x", "-a", "{}").returncode == 2
    short = run("-A", "proj", "call", "proj.add", "-a", "[1]")
    assert (short.returncode, "argument" in short.stderr, "Traceback" in short.stderr) == (1, True, False)


def test_the_environment_names_the_app(run_program):
    assert run_program("report", CANVAS_APP="proj").returncode == 0
    assert run_program("--version").stdout.startswith("canvas, version")


def test_an_unreachable_broker(run):
    found = run("-A", "dead", "call", "proj.add", "-a", "[1, 2]")
    assert found.returncode == 69
    assert "127.0.0.1:1" in found.stderr


@pytest.mark.parametrize(
    ("broker", "backend", "command", "name"),
    [
        ("redis://{}", "disabled://", ["queues"], "Redis at {}"),
        ("amqp://{}", "disabled://", ["queues"], "RabbitMQ at {}"),
        ("memory://", "db+postgresql://me:secret@{}/results", ["result", "some-id"], "database postgresql+psycopg://me:**@{}/results"),
        ("memory://", "cache+memcached://{}/", ["result", "some-id"], "Memcached {}"),
    ],
)  # fmt: skip
def test_a_server_that_keeps_a_command_waiting_is_named(tmp_path, broker, backend, command, name):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "proj.py").write_text(MODULE.format(broker=broker.format(address), backend=backend.format(address)))
        command = [sys.executable, "-m", "canvas", "-A", "proj", *command]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as waits:
            try:
                line = waits.stderr.readline()
            finally:
                waits.kill()
    assert line.startswith(f"waiting for {name.format(address)}, ")
    assert line.endswith("which has not answered for 2 s ...\n")


def test_settings_of_a_module_stand_in_for_the_apps_own(run, tmp_path):
    (tmp_path / "settings.py").write_text("task_default_queue = 'elsewhere'\n")
    sent = run("-A", "proj", "--config", "settings", "call", "proj.add", "-a", "[1, 2]")
    assert sent.returncode == 0
    assert run("-A", "proj", "--config", "settings", "purge", "-f").stdout.startswith(
        "Purged 1 message from 1 known task queue."
    )
    missing = run("-A", "proj", "--config", "nowhere", "report")
    assert (missing.returncode, "nowhere" in missing.stderr) == (2, True)


def test_a_failed_task_is_an_exit_code(run, tmp_path):
    program = "from proj import app; app.backend.store_result('t1', ValueError('no good'), 'FAILURE')"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60)
    assert done.returncode == 0
    shown = run("-A", "proj", "result", "t1")
    assert (shown.returncode, shown.stderr.strip()) == (1, "Error: ValueError: no good")


def test_commands_come_from_installed_packages(run_program, tmp_path):
    (tmp_path / "plugin.py").write_text("import click\n@click.command()\ndef greet():\n    click.echo('hello')\n")
    folder = tmp_path / "plugin-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[canvas.commands]\ngreet = plugin:greet\nbroken = plugin:missing\n")
    assert run_program("greet", PYTHONPATH=str(tmp_path)).stdout == "hello\n"
    broken = run_program("broken", PYTHONPATH=str(tmp_path))
    assert (broken.returncode, "cannot load plugin plugin:missing" in broken.stderr) == (1, True)
    assert run_program("--help", PYTHONPATH=str(tmp_path)).returncode == 0


def test_the_list_of_commands_reads_the_packages_once(monkeypatch):
    groups = []
    monkeypatch.setattr(main, "entry_points", lambda group: groups.append(group) or entry_points(group=group))
    shown = CliRunner().invoke(main.canvas, ["--help"])
    assert (shown.exit_code, "worker" in shown.output) == (0, True)
    assert len(groups) == len(set(groups))


def test_a_prompt_with_the_apps_names(run, tmp_path):
    script = "print(sorted(n for n in ('app', 'add', 'celery', 'Task', 'subtask') if n in globals())); print(add.name, app is celery)"
    shell = subprocess.run(
        [sys.executable, "-m", "canvas", "-A", "proj", "shell", "--python"], input=script, cwd=tmp_path,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert shell.returncode == 0
    assert "['Task', 'add', 'app', 'celery', 'subtask']" in shell.stdout
    assert "proj.add True" in shell.stdout
    assert run("-A", "proj", "shell", "--bpython").returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(run, shell):
    assert "_CANVAS_COMPLETE" in run("completion", shell).stdout
    words = {"COMP_WORDS": "canvas wor", "COMP_CWORD": "1", "_CANVAS_COMPLETE": "bash_complete"}
    assert "worker" in run(**words).stdout


def test_what_waits_in_queues(run, run_program):
    run("-A", "proj", "call", "proj.add", "-a", "[1, 2]")
    run("-A", "proj", "call", "proj.add", "-a", "[1, 2]", "--queue", "other")
    assert run("-A", "proj", "queues").stdout.splitlines() == [
        "celery  waiting 1  dead 0",
        "other   waiting 1  dead 0",
        "all queues: 0 leased, 0 delayed, 0 blocked",
    ]
    shown = run_program("-A", "proj", "queues", "-Q", "a→b", PYTHONIOENCODING="latin-1")
    assert (shown.returncode, shown.stdout.split()[0]) == (0, "a?b"), shown.stderr
    found = json.loads(run("-A", "proj", "queues", "-Q", "other", "--json").stdout)
    row = {"queue": "other", "exchange": "other", "routing_key": "other", "waiting": 1, "dead": 0}
    assert found == {"queues": [row], "leased": 0, "delayed": 0, "blocked": 0}


PROGRAM = """
import sys
import canvas.as_celery
import click
from celery import Celery
from celery.bin.celery import celery
app = Celery("own", broker="memory://")
app.conf.task_default_queue = "of_the_program"
del celery.commands["shell"]

@celery.command()
@click.argument("name")
def unlock(name):
    click.echo(f"unlocked {name}")

celery(sys.argv[1:])
"""


def test_a_program_changes_the_commands(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)

    def run(*words):
        command = [sys.executable, "program.py", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert run("unlock", "it").stdout == "unlocked it\n"
    listed = run("--help").stdout
    assert ("  unlock" in listed, "  worker" in listed, "  shell" in listed) == (True, True, False)
    assert (run("shell").returncode, "No such command 'shell'" in run("shell").stderr) == (2, True)
    assert "of_the_program" in run("report").stdout
