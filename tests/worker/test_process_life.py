"""Processes of a worker from start to end: streams that are gone, children that hang, signals at any time."""

import os
import signal
import socket
import subprocess
import time

import pytest

from canvas import Canvas
from canvas.testing.contract import eventually
from tests.support.redis_server import RedisServer
from tests.worker.program_processes import (
    NAME,
    client,
    embed,
    ends_with,
    new_program,
    plain_worker,
    start,
)


def test_a_worker_that_is_started_with_closed_streams_runs(bench, tmp_path):
    bench.empty()
    log = tmp_path / "log"
    options = ("-P", "solo")
    with plain_worker(bench, log, *options, preexec_fn=lambda: os.closerange(0, 2)) as process, client(bench) as call:
        assert call("open_outputs").get(timeout=30) == [True, 0]
        assert call("borrow_stdout", os.devnull).get(timeout=30) is None
        assert ends_with(process) == 0


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
            eventually(lambda: len((app.control.inspect(timeout=2).active() or {}).get("twin@here", ())) == 2)
        assert {one.filename for one in caught} == {__file__}
        (tmp_path / "end").touch()
        assert [result.get(timeout=20) for result in results] == [None, None]
    app.close()


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
