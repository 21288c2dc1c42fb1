"""Coroutine tasks, which only canvas runs."""

import asyncio
import os
import threading
import time
from contextvars import ContextVar

from tests.support import odd
from tests.support.tasks.kit import Kit

SEEN = ContextVar("seen", default=None)


def define(kit: Kit):
    app, task, note, is_open = kit.app, kit.task, kit.note, kit.is_open
    state = {}

    @task(name="t.a_ident")
    async def a_ident(x):
        await asyncio.sleep(0)
        return x

    @task(name="t.a_odd")
    async def a_odd(kind):
        await asyncio.sleep(0)
        if kind in odd.COROUTINES:
            return await odd.COROUTINES[kind]()
        return {**odd.BREAKS_OFF, **odd.FAILS}[kind]()

    @task(name="t.a_slow")
    async def a_slow(seconds):
        await asyncio.sleep(seconds)
        return seconds

    @task(name="t.a_own", bind=True)
    async def a_own(self):
        await asyncio.sleep(0)
        child = app.tasks["t.ident"].delay(1)
        return [self.request.id, child.id]

    @task(name="t.a_together")
    async def a_together(key, many):
        note(key)
        state["inside"] = state.get("inside", 0) + 1
        state.setdefault("loops", set()).add(id(asyncio.get_running_loop()))
        while state["inside"] < many:
            await asyncio.sleep(0.01)
        return [threading.get_ident(), len(state["loops"])]

    @task(name="t.a_long")
    async def a_long(key, seconds=60):
        note(key, "start")
        try:
            await asyncio.sleep(seconds)
        except BaseException as exc:
            note(key, type(exc).__name__)
            raise
        note(key, "end")

    @task(name="t.a_until_open")
    async def a_until_open(key):
        note(key, "start")
        async with asyncio.timeout(60):
            while not is_open(key):
                await asyncio.sleep(0.02)
        note(key, "end")
        return key

    @task(name="t.a_busy")
    async def a_busy(key):
        note(key, "start")
        try:
            while True:
                time.sleep(0.01)
        except Exception as exc:
            note(key, type(exc).__name__)
            raise

    @task(name="t.a_context")
    async def a_context():
        before, _ = SEEN.get(), SEEN.set("seen")
        return before

    @task(name="t.a_loop")
    async def a_loop():
        return [os.getpid(), id(asyncio.get_running_loop())]

    @task(name="t.in_thread")
    def in_thread():
        time.sleep(0.05)
        return threading.current_thread() is threading.main_thread()
