"""Pools: coroutines in each, children that are replaced, pools that grow with their work."""

import asyncio
import ctypes
import json
import os
import platform
import signal
import time

import pytest

from canvas.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from canvas.testing.contract import eventually
from tests.support.timing import quickest
from tests.worker.commands import start, task

ALL = [("solo",), ("threads", "-c", "3"), ("prefork", "-c", "2"), ("asyncio", "-c", "30")]
_TGKILL = {"x86_64": 234, "aarch64": 131}
"""The system call that sends a signal to one thread."""


@pytest.mark.parametrize("pool", ALL, ids=lambda pool: pool[0])
def test_coroutines_run_in_every_pool(bench, app, pool):
    from canvas import chord, group

    with start(bench, "-P", *pool, env={"PYTHONDEVMODE": "1"}) as worker:
        flow = chord([task(app, "a_ident").s(i) for i in range(10)], task(app, "tsum").s()) | task(app, "a_ident").s()
        assert flow.delay().get(timeout=20) == 45
        # A loop stays: what a coroutine opened on it is of use to the next.
        places = group(task(app, "a_loop").s() for _ in range(12)).delay().get(timeout=20)
        slots = {"solo": 1, "threads": 3, "prefork": 2, "asyncio": 1}[pool[0]]
        assert len({tuple(place) for place in places}) <= slots
    assert [line for line in worker.log if "Warning: " in line] == []


def test_many_coroutines_at_once_on_one_loop(bench, app):
    from canvas import group

    key = bench.new_key()
    with start(bench, "-P", "asyncio", "-c", "30"):
        together = group(task(app, "a_together").s(key, 30) for _ in range(30)).delay()
        assert {tuple(found) for found in together.get(timeout=20)} == {(together.results[0].get()[0], 1)}
        plain = group(task(app, "in_thread").s() for _ in range(10)).delay()
        assert plain.get(timeout=20) == [False] * 10


def test_what_a_coroutine_sets_in_its_context_no_other_finds(bench, app):
    from canvas import group

    with start(bench, "-P", "asyncio", "-c", "2"):
        assert group(task(app, "a_context").s() for _ in range(20)).delay().get(timeout=20) == [None] * 20


@pytest.mark.parametrize("pool", ALL, ids=lambda pool: pool[0])
def test_soft_limits_of_coroutines_are_exceptions_in_them(bench, app, pool):
    """Where they wait; those that hold up their loop are told too, where they have a loop of their own."""
    with start(bench, "-P", *pool):
        for name in ("a_long", "a_busy")[: 1 if pool[0] == "asyncio" else 2]:
            key = bench.new_key()
            soft = task(app, name).apply_async((key,), soft_time_limit=0.2)
            with pytest.raises(SoftTimeLimitExceeded):
                soft.get(timeout=20)
            assert bench.ledger(key, 2) == ["start", "SoftTimeLimitExceeded"]
            assert task(app, "a_ident").delay(1).get(timeout=20) == 1


def test_hard_limits_of_coroutines_are_exceptions_in_them(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "asyncio", "-c", "4"):
        hard = task(app, "a_long").apply_async((key,), time_limit=0.2)
        with pytest.raises(TimeLimitExceeded):
            hard.get(timeout=20)
        assert bench.ledger(key, 2) == ["start", "CancelledError"]


def test_coroutines_can_be_terminated(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "asyncio", "-c", "4", signals="1"):
        long, other = task(app, "a_long").delay(key), task(app, "a_long").delay(key, 1)
        bench.ledger(key, 2)
        (refusal,) = app.control.revoke(long.id, terminate=True, signal="SIGNONE", reply=True)
        assert "'SIGNONE' is not the name of a signal" in next(iter(refusal.values()))["error"]
        long.revoke(terminate=True, signal="kill")
        assert bench.wait_state(app, long.id) == "REVOKED"
        assert bench.wait_state(app, other.id) == "SUCCESS"
        assert sorted(bench.ledger(key, 4)) == ["CancelledError", "end", "start", "start"]
        revoked = [json.loads(one) for one in bench.notes("signals") if "task_revoked" in one]
        assert [(name, signum) for name, signum, _ in revoked] == [("task_revoked", 9)]


def test_a_warm_stop_waits_for_coroutines(bench, app):
    key = bench.new_key()
    worker = start(bench, "-P", "asyncio", "-c", "4").ready()
    result = task(app, "a_until_open").delay(key)
    bench.ledger(key, 1)
    worker.signal(signal.SIGTERM)
    worker.wait_for("Warm shutdown")
    bench.open(key)
    assert worker.wait() == 0
    assert result.get(timeout=20) == key


def test_a_coroutine_task_called_on_a_running_loop(app):
    async def call():
        return task(app, "a_ident").apply((7,)).get()

    assert asyncio.run(call()) == 7


def test_children_are_replaced_after_so_many_tasks(bench, app):
    with start(bench, "-P", "prefork", "-c", "1", "--max-tasks-per-child", "3") as worker:
        pids = [task(app, "pid").delay().get(timeout=20) for _ in range(7)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]
        worker.wait_for("has run 3 tasks")
        asked = app.control.inspect(timeout=20, limit=1)
        eventually(lambda: [one["total"] for one in asked.stats().values()] == [{"t.pid": 7}])


def test_no_child_runs_more_though_it_has_leased_more(bench, app):
    results = [task(app, "pid").delay() for _ in range(12)]
    with start(bench, "-P", "prefork", "-c", "1", "--max-tasks-per-child", "1"):
        assert len({result.get(timeout=30) for result in results}) == 12


def test_children_are_replaced_above_so_much_memory(bench, app):
    with start(bench, "-P", "prefork", "-c", "1", "--max-memory-per-child", str(150 << 10)) as worker:
        first = task(app, "memory").delay(1).get(timeout=20)
        assert task(app, "memory").delay(1).get(timeout=20) == first
        assert task(app, "memory").delay(200).get(timeout=20) == first
        assert task(app, "memory").delay(1).get(timeout=20) != first
        worker.wait_for("worker_max_memory_per_child")


def test_a_child_that_ends_at_a_hard_limit_ends_the_chord_first(bench, app):
    from canvas import chord

    key = bench.new_key()
    with start(bench, "-P", "prefork", "-c", "1") as worker:
        failed = task(app, "errback_by_request").s(key=key)
        inner = chord([task(app, "sleep").s(60).set(time_limit=0.3)], task(app, "tsum").s())
        chord([inner], task(app, "tsum").s().on_error(failed)).apply_async()
        assert "ChordError" in bench.ledger(key, 1)[0]

        def ends():
            return [line for line in worker.log if "Hard time limit" in line or line.rstrip().endswith("does not run")]

        eventually(lambda: len(ends()) == 3)
        # Its successor finds chords that nothing has ended too, some seconds later.
        assert all("ForkPoolWorker-1]" in line for line in ends())


def test_a_dead_child_is_replaced_within_a_second(bench, app):
    with start(bench, "-P", "prefork", "-c", "1"):
        asked = app.control.inspect(timeout=20, limit=1)

        def replaced_in():
            pid = task(app, "pid").delay().get(timeout=20)
            os.kill(pid, signal.SIGKILL)
            assert task(app, "pid").delay().get(timeout=20) != pid
            died = time.monotonic()
            eventually(lambda: pid not in next(iter(asked.stats().values()))["pool"]["processes"])
            return time.monotonic() - died

        assert quickest(replaced_in, 1) < 1


@pytest.mark.parametrize(
    "pool",
    ["prefork", pytest.param("threads", marks=pytest.mark.slow), pytest.param("asyncio", marks=pytest.mark.slow)],
)
def test_a_pool_grows_with_its_work_and_shrinks_without(bench, app, pool):
    key = bench.new_key()
    with start(bench, "-P", pool, "--autoscale", "4,1", "-n", "one@here", env={"AUTOSCALE_KEEPALIVE": "1"}):
        asked = app.control.inspect(destination=["one@here"], timeout=20)
        assert asked.stats()["one@here"]["autoscaler"] == {"max": 4, "min": 1, "current": 1, "qty": 0}
        for _ in range(6):
            task(app, "until_open").delay(key)
        assert bench.ledger(key, 4) == ["start"] * 4
        bench.open(key)
        assert len(bench.ledger(key, 12)) == 12
        eventually(lambda: asked.stats()["one@here"]["autoscaler"]["current"] == 1)
        reply = {"reply": True, "timeout": 20, "destination": ["one@here"]}
        assert app.control.autoscale(3, 2, **reply) == [{"one@here": {"ok": "autoscale now max=3 min=2"}}]
        eventually(lambda: asked.stats()["one@here"]["autoscaler"]["current"] == 2)
        assert "1 <= min <= max" in app.control.autoscale(1, 2, **reply)[0]["one@here"]["error"]
        assert "autoscaled" in app.control.pool_grow(1, **reply)[0]["one@here"]["error"]


def test_a_node_shows_that_it_is_there(bench, app, tmp_path):
    pid_file, ready_file = tmp_path / "worker.pid", tmp_path / "ready"
    files = ("--pidfile", str(pid_file), "--ready-file", str(ready_file))
    with start(bench, "-P", "solo", *files) as worker:
        assert int(pid_file.read_text()) == worker.process.pid
        eventually(ready_file.exists)
        second = start(bench, "-P", "solo", *files)
        assert second.wait() == os.EX_CANTCREAT
        assert f"process {worker.process.pid} is running with it" in "".join(second.log)
    assert not pid_file.exists()
    assert not ready_file.exists()
    pid_file.write_text("999999999")
    with start(bench, "-P", "solo", *files):
        assert int(pid_file.read_text()) != 999999999


def test_a_pool_that_shrinks_is_still_ready(bench, app, tmp_path):
    ready_file = tmp_path / "ready"
    with start(bench, "-P", "prefork", "-c", "2", "--ready-file", str(ready_file)) as worker:
        eventually(ready_file.exists)
        app.control.pool_shrink(1, reply=True, timeout=20, limit=1)
        asked = app.control.inspect(timeout=20, limit=1)
        eventually(lambda: [len(one["pool"]["processes"]) for one in asked.stats().values()] == [1])
        assert ready_file.exists()
        assert "shutdown" not in "".join(worker.log)


@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_more_signals(bench, app, pool):
    """What every thread does is shown; a closed terminal stops the worker warmly; TERM may be a QUIT."""
    worker = start(bench, "-P", pool, "-c", "1").ready()
    worker.signal(signal.SIGUSR1)
    worker.wait_for("most recent call first")
    worker.signal(signal.SIGHUP)
    assert worker.wait(20) == 0
    key = bench.new_key()
    worker = start(bench, "-P", pool, "-c", "1", env={"REMAP_SIGTERM": "SIGQUIT"}).ready()
    task(app, "slow_then").delay(30, key)
    bench.ledger(key, 1)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 1


def test_systemd_is_told(bench, app, tmp_path):
    import socket

    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(20)
        worker = start(bench, "-P", "solo", env={"NOTIFY_SOCKET": path})
        assert listening.recv(100) == b"READY=1\n"
        worker.stop()
        assert listening.recv(100) == b"STOPPING=1\n"


def test_log_lines_as_json(bench, app):
    with start(bench, "-P", "solo", "--log-json", "--without-mingle") as worker:
        task(app, "add").delay(1, 2).get(timeout=20)
        worker.wait_for("succeeded")
    lines = [json.loads(line) for line in worker.log if line.startswith("{")]
    assert any("succeeded" in line["message"] for line in lines)
    assert all({"time", "level", "logger", "message", "process", "pid"} <= set(line) for line in lines)


@pytest.mark.parametrize("pool", [("prefork", "-c", "2"), ("asyncio", "-c", "3")], ids=lambda pool: pool[0])
def test_running_tasks_are_terminated_by_their_stamps(bench, app, pool):
    key = bench.new_key()
    with start(bench, "-P", *pool):
        name = "a_long" if pool[0] == "asyncio" else "slow_then"
        stamped = []
        for _ in range(2):
            sig = task(app, name).s(key, 60) if name == "a_long" else task(app, name).s(60, key)
            sig.stamp(batch="7")
            stamped.append(sig.apply_async())
        bench.ledger(key, 2)
        app.control.revoke_by_stamped_headers({"batch": "7"}, terminate=True)
        assert [bench.wait_state(app, result.id) for result in stamped] == ["REVOKED"] * 2


def test_a_pool_is_restarted_where_that_is_allowed(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "prefork", "-c", "2", "-n", "one@here", restarts="1"):
        asked = app.control.inspect(destination=["one@here"], timeout=20)
        before = set(asked.stats()["one@here"]["pool"]["processes"])
        running = task(app, "until_open").delay(key)
        bench.ledger(key, 1)
        reply = {"reply": True, "timeout": 20, "destination": ["one@here"]}
        assert app.control.pool_restart(**reply) == [{"one@here": {"ok": "reload started"}}]
        bench.open(key)
        assert running.get(timeout=20) == key
        eventually(lambda: before.isdisjoint(asked.stats()["one@here"]["pool"]["processes"]))
        assert "loaded already" in app.control.pool_restart(["os.nothing"], **reply)[0]["one@here"]["error"]
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2


@pytest.mark.parametrize("pool", [("solo",), ("threads", "-c", "3"), ("asyncio", "-c", "5")], ids=lambda pool: pool[0])
def test_a_signal_that_another_thread_takes_stops_the_worker(bench, pool):
    """Whichever thread the system hands it to, its handler runs on the main thread."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    with start(bench, "-P", *pool) as worker:
        pid = worker.process.pid

        def last_thread():
            return max(int(thread) for thread in os.listdir(f"/proc/{pid}/task"))

        assert last_thread() != pid
        eventually(lambda: call(_TGKILL[platform.machine()], pid, last_thread(), int(signal.SIGTERM)) == 0)
        assert worker.wait() == 0
