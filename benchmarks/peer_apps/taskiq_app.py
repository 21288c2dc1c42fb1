import asyncio

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from benchmarks.peer_apps import SOCKET, note_time

results: RedisAsyncResultBackend[object] = RedisAsyncResultBackend(f"unix://{SOCKET}?db=1")
broker = ListQueueBroker(f"unix://{SOCKET}?db=0").with_result_backend(results)


@broker.task
async def noop() -> None:
    return None


@broker.task
async def note(name: str) -> None:
    note_time(name)


async def _fill(count: int) -> None:
    await broker.startup()
    await note.kiq("began")
    for _ in range(count):
        await noop.kiq()
    await note.kiq("ended")
    await broker.shutdown()


def fill(count: int) -> None:
    asyncio.run(_fill(count))
