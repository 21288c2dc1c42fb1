"""Nothing is left behind: no connection, thread, file or process, however much was done."""

import asyncio
import os
import threading

import pytest

from canvas import chord, group
from canvas.errors import TimeoutError
from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.processes import members
from tests.worker.commands import start, task

POOLS = [("-P", "threads", "-c", "4"), ("-P", "prefork", "-c", "2"), ("-P", "asyncio", "-c", "10"), ("-P", "solo")]


def work(app, key):
    """A little of everything that opens something."""
    add, tsum = task(app, "add"), task(app, "tsum")
    assert chord([add.s(n, n) for n in range(10)], tsum.s()).delay().get(timeout=20) == 90
    assert group(add.s(n, 1) for n in range(5)).apply_async().get(timeout=20) == [1, 2, 3, 4, 5]
    flow = app.Workflow("leaks")
    flow.add(add.s(flow.add(add.s(1, 1)), 1))
    assert flow.apply_async().get(timeout=20) == 3
    with pytest.raises(TimeoutError):
        add.apply_async((1, 1), countdown=3600, expires=3600).get(timeout=0.01)
    app.control.revoke(add.apply_async((1, 1), countdown=3600).id)
    assert app.control.ping(timeout=10, limit=1)

    async def awaited():
        results = [await add.adelay(n, 1) for n in range(5)]
        return [await result.aget(timeout=20) for result in results]

    assert asyncio.run(awaited()) == [1, 2, 3, 4, 5]


def open_files(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def threads(pids):
    return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "pool",
    [pytest.param(pool, id=pool[1], marks=pytest.mark.slow if number else ()) for number, pool in enumerate(POOLS)],
)
def test_a_worker_leaves_nothing_open(bench, app, pool):
    def held():
        return open_files(pids), threads(pids)

    with start(bench, *pool) as worker:
        work(app, "first")
        pids = members(worker.process.pid)
        before = held()
        for _ in range(20):
            work(app, "again")
        # Threads of a pool are started as they are needed, up to its size.
        most = before[0] + 4, before[1] + 12
        eventually(lambda: all(now <= limit for now, limit in zip(held(), most, strict=True)))
        assert members(worker.process.pid) == pids
    assert members(worker.process.pid) == []


def test_a_client_leaves_nothing_open(bench, app):
    mine = [os.getpid()]
    with start(bench, "-P", "threads", "-c", "4"):
        client = make("canvas", *bench.urls()[:2])
        work(client, "first")
        client.close()
        before, running = open_files(mine), set(threading.enumerate())
        connected = len(bench.server.client().client_list())
        for _ in range(5):
            client = make("canvas", *bench.urls()[:2])
            for _ in range(4):
                work(client, "again")
            client.close()
        eventually(lambda: set(threading.enumerate()) <= running)
        eventually(lambda: open_files(mine) <= before)
        eventually(lambda: len(bench.server.client().client_list()) <= connected + 4)
