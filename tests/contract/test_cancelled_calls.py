"""Awaitable calls of a client that are cancelled at any of their steps: the next calls are served as ever."""

import asyncio
import random

import pytest

from canvas import Canvas, chain, chord, group
from canvas.testing.contract import eventually

MANY = 1_500
"""Messages that take several calls of the server."""


@pytest.fixture
def app(request, own_server, redis_server, tmp_path):
    for server in (own_server, redis_server):
        server.client().flushall()
    broker, more = own_server.url(0), {}
    if request.param == "shards":
        broker, more = None, {"broker_shards": {own_server.url(0): ["celery"], redis_server.url(0): ["*"]}}
    backend = f"db+sqlite:///{tmp_path}/results" if request.param == "sqlite" else own_server.url(1)
    if request.param == "postgres":
        backend = request.getfixturevalue("postgres").new_database()
    if request.param == "memory":
        broker = backend = "memory://cancelled-calls"
    app = Canvas("cancelled", broker=broker, backend=backend, set_as_current=False, **more)
    app.task(lambda *args: None, name="t")
    yield app
    app.driver.admin.purge("celery")
    app.close()


def calls(app):
    t = app.tasks["t"]
    return {
        "task": t.adelay,
        "send_task": lambda: app.asend_task("t"),
        "group": lambda: group(t.s(), t.s()).aapply_async(),
        "chain": lambda: chain(t.s(), t.s()).aapply_async(),
        "chord": lambda: chord([t.s(), t.s()], t.s()).aapply_async(),
        "result": lambda: app.AsyncResult("never").aget(),
        "group's result": lambda: app.GroupResult("g", [app.AsyncResult("never")]).aget(),
    }


@pytest.mark.parametrize("app", ["redis", "shards", "sqlite", "postgres", "memory"], indirect=True)
async def test_none_goes_on_when_it_is_cancelled(app):
    for name, call in calls(app).items():
        for steps in range(40):
            task = asyncio.create_task(call())
            for _ in range(steps):
                await asyncio.sleep(0)
            if not task.cancel():
                break
            done, _ = await asyncio.wait({task}, timeout=10)
            assert done, f"{name} after {steps} steps"
            assert task.cancelled(), f"{name} after {steps} steps"


@pytest.mark.parametrize("app", ["redis", "shards"], indirect=True)
async def test_a_group_of_many_messages_is_sent_whole_or_not_at_all(app):
    t = app.tasks["t"]
    for queues in (["celery"], ["celery", "other"]):
        members = [t.s(number).set(queue=queues[number % len(queues)]) for number in range(MANY)]
        task = asyncio.create_task(group(members).aapply_async())
        admin = app.driver.admin
        while not task.done() and not admin.queue_length("celery"):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await asyncio.to_thread(eventually, lambda: sum(map(admin.queue_length, queues)) == MANY)  # noqa: B023
        for queue in queues:
            admin.purge(queue)


@pytest.mark.parametrize("app", ["redis"], indirect=True)
async def test_a_task_that_has_cancelled_itself_goes_on_with_no_call(app):
    for name, call in calls(app).items():

        async def cancelled(call=call):
            asyncio.current_task().cancel()
            await call()

        task = asyncio.create_task(cancelled())
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled(), name


@pytest.mark.parametrize("app", ["redis", "sqlite", "postgres"], indirect=True)
async def test_the_others_get_their_own_results(app):
    chance = random.Random(7)
    ids = [str(number) for number in range(30)]
    stored, waited = ids[::2], ids[1::2]
    for task_id in stored:
        app.backend.store_result(task_id, task_id, "SUCCESS")
    for _ in range(3):
        tasks = {task_id: asyncio.create_task(app.AsyncResult(task_id).aget(timeout=20)) for task_id in ids}
        for task in chance.sample(list(tasks.values()), 15):
            asyncio.get_running_loop().call_later(chance.random() * 0.01, task.cancel)
        await asyncio.sleep(0.01)
        for task_id in waited:
            await asyncio.to_thread(app.backend.store_result, task_id, task_id, "SUCCESS")
        found = await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert all(
            isinstance(value, asyncio.CancelledError) or value == task_id
            for task_id, value in zip(tasks, found, strict=True)
        )
        assert sum(isinstance(value, str) for value in found) >= 15
        for task_id in waited:
            app.AsyncResult(task_id).forget()
