"""Programs that wait for results on short-lived event loops."""

import asyncio
import gc
import os
import subprocess
import sys
import uuid
import weakref

import pytest

from canvas import Canvas, Workflow
from tests.support.processes import ROOT

PROGRAM = """
import asyncio, gc, os, sys
from contextlib import suppress
from canvas import Canvas
from canvas.errors import TimeoutError

app = Canvas("loops", broker=sys.argv[1], backend=sys.argv[2])
identity = app.task(lambda value: value, name="identity")

async def call():
    result = await identity.adelay(1)
    with suppress(TimeoutError):
        await result.aget(timeout=0.02)

def closed_in_order():
    asyncio.run(call())

def closed_alone():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(call())
    loop.close()

def closed_while_tasks_wait():
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(call())
    waiting._log_destroy_pending = False
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()

run = globals()[sys.argv[3]]
closed_in_order()
run()
gc.collect()
before = len(os.listdir("/proc/self/fd"))
for _ in range(10):
    run()
gc.collect()
closed_in_order()
print(len(os.listdir("/proc/self/fd")) - before)
"""


@pytest.mark.parametrize("how", ["closed_in_order", "closed_alone", "closed_while_tasks_wait"])
def test_a_closed_event_loop_leaves_no_connections(redis_url, result_url, how):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, redis_url, result_url, how],
        cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"}, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 0
    if how != "closed_while_tasks_wait":  # whose own task asyncio and redis complain of
        assert done.stderr == ""


def test_a_closed_event_loop_that_sent_signals_is_not_kept():
    server = f"memory://{uuid.uuid4()}"
    with Canvas("signals", broker=server, backend=server, set_as_current=False) as app:
        flow = Workflow("waits", app)
        flow.wait_for("go")
        run = flow.apply_async()

        async def send():
            await run.asignal("go")
            return weakref.ref(asyncio.get_running_loop())

        loop = asyncio.run(send())
        gc.collect()
        assert loop() is None
