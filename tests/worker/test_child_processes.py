"""The processes of a worker's pool: they are replaced when they hang or end, and end with their parent."""

import os
import signal
import time

import pytest

from canvas.errors import TimeLimitExceeded
from canvas.testing.contract import eventually
from canvas.worker.pools import parent_death
from tests.support.processes import members
from tests.worker.program_processes import (
    alive,
    client,
    ends_with,
    noted,
    plain_worker,
    start,
)


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


def test_a_worker_whose_output_is_on_a_full_disk_runs(bench, tmp_path):
    bench.empty()
    log = tmp_path / "log"
    with open("/dev/full", "w") as full, plain_worker(bench, log, "-c", "1", stdout=full) as process:
        with client(bench) as call:
            assert call("identity", 1).get(timeout=30) == 1
        assert ends_with(process) == 0
    assert "Cannot write to stdout: [Errno 28]" in log.read_text()


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


@pytest.mark.parametrize("acks_late", ["1", "0"])
def test_children_finish_their_tasks_when_their_parent_fails(bench, tmp_path, acks_late):
    bench.empty()
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    env = {"FAILS": f"SystemExit:{begun}", "CELERY_TASK_ACKS_LATE": acks_late, "NO_WAITPID": "1"}
    worker = start(bench, "-c", "1", env=env)
    with client(bench) as call:
        result = call("opened_later", str(begun), str(gate))
        worker.wait_for("crashed")
        worker.wait_for("Warm shutdown")
        gate.touch()
        assert worker.wait(20) == 7
        assert (result.state, begun.read_text()) == ("SUCCESS", "begun\n")
        assert sum("OSError: out of order" in line for line in worker.log) == 1


def test_children_return_their_tasks_when_their_parent_is_to_end_at_once(bench, tmp_path):
    bench.empty()
    begun = tmp_path / "begun"
    worker = start(bench, "-c", "1", env={"FAILS": f"WorkerTerminate:{begun}"})
    with client(bench) as call:
        result = call("opened_later", str(begun), str(tmp_path / "gate"))
        assert worker.wait(20) == 7, worker.log
        assert (result.state, bench.broker.llen("celery")) == ("PENDING", 1)


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
