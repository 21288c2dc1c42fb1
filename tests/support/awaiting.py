"""Tasks that await the results of other tasks; canvas' only."""

import asyncio
import os

import redis

from canvas import AsyncResult, Canvas, group
from canvas.result import allow_join_result


def make(broker, backend, ledger):
    app = Canvas("awaiting", broker=broker, backend=backend, set_as_current=False)
    notes = redis.Redis.from_url(ledger)
    inside = {"now": 0, "most": 0}

    @app.task(name="add")
    def add(x, y):
        return x + y

    @app.task(name="awaits")
    async def awaits(x):
        return await (await add.adelay(x, 1))

    @app.task(name="awaits_group")
    async def awaits_group(x):
        return await (await group(add.s(x, i) for i in range(3)).aapply_async())

    @app.task(name="awaits_beside")
    async def awaits_beside(x):
        results = [await add.adelay(x, i) for i in range(3)]
        return await asyncio.gather(*(result.aget(timeout=30) for result in results))

    @app.task(name="awaits_in_sync")
    def awaits_in_sync(x):
        return asyncio.run(add.delay(x, 1).aget())

    @app.task(name="awaits_on_a_thread")
    async def awaits_on_a_thread(x):
        result = await add.adelay(x, 1)
        return await asyncio.to_thread(lambda: asyncio.run(result.aget()))

    @app.task(name="allowed")
    async def allowed(x):
        with allow_join_result():
            return await (await add.adelay(x, 1))

    @app.task(name="deep")
    async def deep(levels):
        return 1 + await (await deep.adelay(levels - 1)) if levels else 0

    @app.task(name="crowded")
    async def crowded(x):
        for _ in range(2):
            await _work()
            x = await (await a_add.adelay(x, 1))
        await _work()
        return [x, inside["most"]]

    @app.task(name="a_add")
    async def a_add(x, y):
        await _work()
        return x + y

    async def _work():
        inside["now"] += 1
        inside["most"] = max(inside["most"], inside["now"])
        await asyncio.sleep(0.002)
        inside["now"] -= 1

    @app.task(name="limited", soft_time_limit=0.3)
    async def limited():
        await AsyncResult("never", app=app)

    def wait_for(key):
        notes.rpush(f"ledger:{key}", "waits")
        return AsyncResult(f"open-{key}", app=app)

    @app.task(name="late")
    async def late(key):
        return await wait_for(key)

    @app.task(name="early", acks_late=False)
    async def early(key):
        return await wait_for(key)

    return app


if "APP_LIBRARY" in os.environ:
    app = make(*(os.environ[f"APP_{name}"] for name in ("BROKER", "BACKEND", "LEDGER")))
