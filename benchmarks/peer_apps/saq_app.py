import asyncio

from redis.asyncio import Redis
from saq.queue.redis import RedisQueue

from benchmarks.peer_apps import SOCKET, note_time

queue = RedisQueue(Redis(unix_socket_path=SOCKET, db=0), "bench")


async def noop(context: object) -> None:
    return None


async def note(context: object, *, name: str) -> None:
    note_time(name)


settings = {"queue": queue, "functions": [noop, note], "concurrency": 10}


async def _fill(count: int) -> None:
    await queue.enqueue("note", name="began")
    for _ in range(count):
        await queue.enqueue("noop")
    await queue.enqueue("note", name="ended")


def fill(count: int) -> None:
    asyncio.run(_fill(count))
