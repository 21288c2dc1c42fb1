"""Processes of a worker from start to end: streams that are gone, children that hang, signals at any time."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from canvas import Canvas
from canvas.errors import TimeLimitExceeded
from canvas.testing.contract import eventually
from canvas.worker.pools import parent_death
from tests.support.processes import ROOT, WorkerProcess, members
from tests.support.redis_server import RedisServer

NAME = "tests.support.forking"


@contextmanager
def client(bench):
    broker, backend, _ = bench.urls()
    app = Canvas("client", broker=broker, backend=backend)
    yield lambda name, *args: app.send_task(f"{NAME}.{name}", args)
    app.close()


def new_program(broker, backend, *arguments, **options):
    return WorkerProcess("canvas", broker, backend, *arguments, app=f"{NAME}:app", new_program=True, **options)


def start(bench, *arguments, **options):
    broker, backend, _ = bench.urls()
    return new_program(broker, backend, *arguments, **options)


@contextmanager
def plain_worker(bench, log, *arguments, **popen):
    """A worker whose standard output is not the log's; it is ready when the block begins."""
    broker, backend, _ = bench.urls()
    command = [sys.executable, "-m", "canvas", "-A", f"{NAME}:app", "worker", "-l", "INFO", *arguments]
    environment = {**os.environ, "APP_BROKER": broker, "APP_BACKEND": backend}
    environment.pop("PYTHONUNBUFFERED", None)
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stream, start_new_session=True, **popen)
    try:
        eventually(lambda: " ready." in log.read_text() or process.poll() is not None)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ends_with(process, number=signal.SIGTERM, within=20):
    process.send_signal(number)
    return process.wait(within)


# -- streams


def test_a_child_whose_output_nobody_reads_ends_and_is_replaced(bench, tmp_path):
    bench.empty()
    ready, log = tmp_path / "ready", tmp_path / "log"
    reader, writer = os.pipe()
    options = ("-c", "1", "--max-tasks-per-child", "1", "--ready-file", str(ready))
    with plain_worker(bench, log, *options, stdout=writer) as process, client(bench) as call:
        os.close(writer)
        os.close(reader)
        assert [call("borrow_stdout", os.devnull).get(timeout=30) for _ in range(2)] == [None, None]
        assert [call("replace_stdout").get(timeout=30) for _ in range(2)] == [None, None]
        assert call("raw_say", "text").get(timeout=30) is None
        assert call("raw_say", "text").get(timeout=30) is None
        assert ready.exists()
        assert ends_with(process) == 0
    assert "Cannot write to stdout" in log.read_text()


def test_a_worker_that_is_started_with_closed_streams_runs(bench, tmp_path):
    bench.empty()
    log = tmp_path / "log"
    options = ("-P", "solo")
    with plain_worker(bench, log, *options, preexec_fn=lambda: os.closerange(0, 2)) as process, client(bench) as call:
        assert call("open_outputs").get(timeout=30) == [True, 0]
        assert call("borrow_stdout", os.devnull).get(timeout=30) is None
        assert ends_with(process) == 0


# -- starts


def test_a_child_that_hangs_at_its_start_is_replaced(bench, tmp_path):
    bench.empty()
    flag = tmp_path / "hang"
    flag.touch()
    settings = {"env": {"HANG_ONCE": str(flag), "CELERY_WORKER_PROC_ALIVE_TIMEOUT": "2"}}
    with start(bench, "-c", "1", **settings) as worker, client(bench) as call:
        assert call("identity", 1).get(timeout=30) == 1
        worker.wait_for("has not started within")
        worker.wait_for("worker_proc_alive_timeout")


def test_a_worker_stops_though_a_child_hangs_at_its_start(bench, tmp_path):
    bench.empty()
    flag = tmp_path / "hang"
    flag.touch()
    with start(bench, "-c", "1", env={"HANG_ONCE": str(flag)}) as worker:
        eventually(lambda: not flag.exists())
        worker.signal(signal.SIGINT)
        worker.wait_for("Warm shutdown")
        worker.signal(signal.SIGINT)
        assert worker.wait(20) == 1


def test_a_child_whose_parent_dies_right_after_the_fork_ends(bench, tmp_path):
    bench.empty()
    held = tmp_path / "held"
    held.touch()
    worker = start(bench, "-c", "2", env={"HOLDS_FORKS": str(held)})
    try:
        eventually(lambda: len(members(worker.process.pid)) == 3)
        worker.signal(signal.SIGKILL)
        worker.wait()
        held.unlink()
        eventually(lambda: not members(worker.process.pid))
    finally:
        for pid in members(worker.process.pid):
            os.kill(pid, signal.SIGKILL)


ENDLESS = ("napping", "in_c_code", "waiting_for_a_thread")


def noted(folder, name):
    """The process id that a task has noted."""
    path = folder / name
    eventually(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def alive(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_children_end_with_their_parent_whatever_they_run(bench, tmp_path):
    bench.empty()
    worker = start(bench, "-c", str(len(ENDLESS)))
    with client(bench) as call:
        for name in ENDLESS:
            call(name, str(tmp_path))
        running = [noted(tmp_path, name) for name in ENDLESS]
        worker.signal(signal.SIGKILL)
        worker.wait()
        try:
            eventually(lambda: not any(map(alive, running)))
        finally:
            for pid in filter(alive, running):
                os.kill(pid, signal.SIGKILL)
    bench.empty()


def test_a_process_sees_that_its_parent_ends_where_the_system_does_not_tell_it():
    """As on systems other than Linux."""
    ours, theirs = os.pipe()
    parent = os.fork()
    if not parent:
        middle = os.getpid()
        if not os.fork():
            os.write(theirs, b"%d" % os.getpid())
            parent_death.watch(middle)
        time.sleep(60)
        os._exit(0)
    child = int(os.read(ours, 20))
    try:
        assert alive(child)
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
    eventually(lambda: not alive(child))
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_daemonic_processes_end_with_the_process_of_their_task(bench, tmp_path, pool):
    """After its last task, at a hard time limit, and at a cold stop."""
    bench.empty()
    folder = str(tmp_path)
    options = ("-c", "1", "--max-tasks-per-child", "1") if pool == "prefork" else ()
    with start(bench, "-P", pool, *options) as worker, client(bench) as call:
        if pool == "prefork":
            call("leaving_a_daemon", folder).get(timeout=30)
            left = noted(tmp_path, "left")
            eventually(lambda: not alive(left))
            with pytest.raises(TimeLimitExceeded):
                call("mapping_too_long", folder).get(timeout=30)
            mapped = noted(tmp_path, "mapped_too_long")
            eventually(lambda: not alive(mapped))
        call("mapping", folder)
        mapped = noted(tmp_path, "mapped")
        worker.signal(signal.SIGQUIT)
        assert worker.wait(20) == 1
        eventually(lambda: not alive(mapped))
    bench.empty()


def test_children_start_while_other_threads_of_the_parent_log(bench):
    bench.empty()
    with start(bench, "-c", "2", "--max-tasks-per-child", "1", env={"CHATTER": "3"}) as worker, client(bench) as call:
        results = [call("identity", n) for n in range(30)]
        assert [result.get(timeout=60) for result in results] == list(range(30))
        assert not any("has not started" in line for line in worker.log)


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_that_waits_for_its_broker_stops_in_good_order(tmp_path, pool):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        pid_file = tmp_path / "pid"
        worker = new_program(url, url, "-P", pool, "--pidfile", str(pid_file))
        worker.wait_for("Cannot connect")
        assert pid_file.exists()
        worker.signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    assert not pid_file.exists()


# -- while Redis is away


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_an_idle_worker_stops_and_reports_an_outage_once(pool):
    with RedisServer() as server:
        url = server.url(0)
        with new_program(url, url, "-P", pool, "-c", "4") as worker:
            server.stop()
            worker.wait_for("Cannot use the broker")
            before = time.monotonic()
            eventually(lambda: time.monotonic() - before > 5)
            told = [line for line in worker.log if "Cannot use the broker" in line]
            assert 1 <= len(told) <= 3, "".join(worker.log)
            server.start()
            worker.wait_for("The broker answers again", 30)
            assert sum("The broker answers again" in line for line in worker.log) == 1
            server.stop()
            worker.signal(signal.SIGTERM)
            assert worker.wait(25) == 0
            server.start()


@pytest.mark.parametrize("acks_late", ["1", "0"])
def test_children_finish_their_tasks_when_their_parent_fails(bench, tmp_path, acks_late):
    bench.empty()
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    env = {"FAILS": f"SystemExit:{begun}", "CELERY_TASK_ACKS_LATE": acks_late}
    worker = start(bench, "-c", "1", env=env)
    with client(bench) as call:
        result = call("opened_later", str(begun), str(gate))
        worker.wait_for("crashed")
        worker.wait_for("Warm shutdown")
        gate.touch()
        assert worker.wait(20) == 7
        assert (result.state, begun.read_text()) == ("SUCCESS", "begun\n")


def test_children_return_their_tasks_when_their_parent_is_to_end_at_once(bench, tmp_path):
    bench.empty()
    begun = tmp_path / "begun"
    worker = start(bench, "-c", "1", env={"FAILS": f"WorkerTerminate:{begun}"})
    with client(bench) as call:
        result = call("opened_later", str(begun), str(tmp_path / "gate"))
        assert worker.wait(20) == 7
        assert (result.state, bench.broker.llen("celery")) == ("PENDING", 1)


# -- processes of the application


def test_exit_codes_of_the_applications_processes_are_its_own(bench, tmp_path):
    bench.empty()
    codes = tmp_path / "codes"
    with start(bench, "-c", "1", env={"HELPERS": str(codes)}):
        eventually(lambda: codes.exists() and codes.read_text().split() == ["3"] * 3)


def test_a_child_whose_exit_code_other_code_has_taken_is_replaced(bench):
    bench.empty()
    with start(bench, "-c", "1", env={"REAPS_ALL": "1"}) as worker, client(bench) as call:
        first = call("process_id").get(timeout=20)
        os.kill(first, signal.SIGKILL)
        assert call("process_id").get(timeout=30) != first
        worker.wait_for("exit code that other code")


# -- pid files and names


def test_a_pid_file_of_another_program_is_taken_over(bench, tmp_path):
    bench.empty()
    pid_file = tmp_path / "pid"
    other = subprocess.Popen(["sleep", "60"])
    try:
        for number in (0, -1, other.pid):
            pid_file.write_text(f"{number}\n")
            with start(bench, "-P", "solo", "--pidfile", str(pid_file)) as worker:
                assert int(pid_file.read_text()) == worker.process.pid
            assert not pid_file.exists()
    finally:
        other.kill()
        other.wait()


def test_two_nodes_of_one_name_are_reported(bench, tmp_path):
    bench.empty()
    from canvas.exceptions import DuplicateNodenameWarning

    broker, backend, _ = bench.urls()
    app = Canvas("client", broker=broker, backend=backend)
    twin = ("-P", "solo", "-n", "twin@here")
    with start(bench, *twin) as first, start(bench, *twin) as second:
        for one in (first, second):
            one.wait_for("Another worker has the node name twin@here")
            assert sum("Another worker has the node name" in line for line in one.log) == 1
        results = [app.send_task(f"{NAME}.wait_for_file", (str(tmp_path / "end"),)) for _ in range(2)]
        with pytest.warns(DuplicateNodenameWarning, match="twin@here") as caught:
            eventually(lambda: len(app.control.inspect(timeout=2).active()["twin@here"]) == 2)
        assert {one.filename for one in caught} == {__file__}
        (tmp_path / "end").touch()
        assert [result.get(timeout=20) for result in results] == [None, None]
    app.close()


# -- embedding


def embed(bench, script):
    """Run a program that has a worker in it; what it prints."""
    broker, backend, _ = bench.urls()
    environment = {**os.environ, "APP_BROKER": broker, "APP_BACKEND": backend}
    head = f"import io, os, signal, sys, threading, time\nfrom {NAME} import app, identity\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_runs_in_a_thread_without_a_real_stderr(bench, pool):
    bench.empty()
    found = embed(
        bench,
        f"""
        sys.stderr = sys.__stderr__ = io.StringIO()
        argv = ["worker", "-P", "{pool}", "-c", "1", "-l", "ERROR"]
        thread = threading.Thread(target=app.worker_main, args=(argv,))
        thread.start()
        print(identity.delay(5).get(timeout=40), file=sys.__stdout__)
        app.control.shutdown()
        thread.join(40)
        print(thread.is_alive(), signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, file=sys.__stdout__)
        """,
    )
    assert found[-3:] == ["5", "False", "True"]


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_signals_are_the_programs_own_after_a_worker(bench, pool):
    bench.empty()
    found = embed(
        bench,
        f"""
        numbers = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1
        before = [signal.getsignal(number) for number in numbers]

        def stop():
            identity.delay(1).get(timeout=40)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=stop).start()
        code = app.worker_main(["worker", "-P", "{pool}", "-c", "1", "-l", "ERROR"])
        print(code, file=sys.__stdout__)
        print([signal.getsignal(number) for number in numbers] == before, file=sys.__stdout__)
        """,
    )
    assert found[-2:] == ["0", "True"]
