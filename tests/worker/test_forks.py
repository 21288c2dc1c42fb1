"""Processes that tasks start have nothing of the worker's: no signal handlers, no connections, no locks."""

import signal
from contextlib import contextmanager

import pytest

from tests.support.processes import WorkerProcess

POOLS = ("solo", "threads", "prefork", "asyncio")
DEFAULT = repr(signal.SIG_DFL)


@contextmanager
def forking_worker(bench, pool, *arguments, **options):
    broker, backend, _ = bench.urls()
    slots = () if pool == "solo" else ("-c", "2")
    with WorkerProcess(
        "canvas", broker, backend, "-P", pool, *slots, *arguments, app="tests.support.forking:app", new_program=True,
        **options,
    ) as worker:  # fmt: skip
        yield worker


@pytest.fixture(scope="module", params=POOLS)
def worker(request, bench):
    bench.empty()
    with forking_worker(bench, request.param) as started:
        started.pool = request.param
        yield started


@pytest.fixture
def call(bench, worker):
    """The result of a task of the worker."""
    with worker_client(bench) as app:
        yield lambda name, *args: app.send_task(f"tests.support.forking.{name}", args).get(timeout=40)


@contextmanager
def worker_client(bench):
    from canvas import Canvas

    broker, backend, _ = bench.urls()
    app = Canvas("client", broker=broker, backend=backend)
    yield app
    app.close()


def test_a_forked_process_has_the_handlers_of_a_program_without_a_worker(call):
    found = call("handlers_in_fork")
    assert found[:3] == [DEFAULT] * 3
    assert "default_int_handler" in found[3]
    assert found[4] == DEFAULT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1])
def test_signals_end_forked_processes(call, number):
    assert call("ended_by", number) == -number


def test_a_forked_process_ends_without_the_workers_threads(call):
    assert call("ended_well") == 0


def test_an_interrupt_ends_programs_that_a_task_starts(call):
    assert call("program_ended_by", signal.SIGINT) == -signal.SIGINT


def test_process_pools_work_task_after_task(call):
    assert [call("mapped") for _ in range(8)] == [[0, 1, 4, 9]] * 8
    assert call("executed") == [0, 1, 4, 9]


def test_processes_can_be_spawned(call):
    assert call("spawned") == [0, 1, 4, 9]


def test_a_pool_that_is_left_by_an_exception_ends(call):
    assert call("impatient") == "timed out"


def test_a_forked_process_does_not_keep_the_connections_open(bench, call):
    assert call("sockets_in_fork", bench.server.port) == [True, 0]


def test_a_forked_process_can_send_tasks(bench, call):
    with worker_client(bench) as app:
        assert app.AsyncResult(call("sent_in_fork", 7)).get(timeout=20) == 7


@pytest.mark.parametrize("task", ["coming_back", "coming_back_in_time", "coming_back_on_loop"])
def test_a_copy_of_the_worker_ends_when_its_task_does(call, task):
    """It has the same task to end, which only its parent may do."""
    ends = {"returns": 0, "raises": 1, "exits": 6, "exits with text": 1, "retries": 1}
    assert {how: call(task, how) for how in ends} == ends
    assert call("identity", 3) == 3


def test_event_loops_of_other_slots_survive_a_fork(call):
    """A forked process deletes what other threads of the worker had; a loop that is deleted there must not be closed."""
    assert [call("on_thread", n) for n in range(4)] == [0, 1, 4, 9]
    for _ in range(3):
        call("handlers_in_fork")
        assert [call("on_thread", n) for n in range(4)] == [0, 1, 4, 9]
