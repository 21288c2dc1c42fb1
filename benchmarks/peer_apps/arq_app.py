import asyncio

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.peer_apps import SOCKET, note_time

settings = RedisSettings(unix_socket_path=SOCKET)


async def noop(context: object) -> None:
    return None


async def note(context: object, name: str) -> None:
    note_time(name)


class WorkerSettings:
    functions = [noop, note]
    redis_settings = settings


async def _fill(count: int) -> None:
    pool = await create_pool(settings)
    await pool.enqueue_job("note", "began")
    for _ in range(count):
        await pool.enqueue_job("noop")
    await pool.enqueue_job("note", "ended")


def fill(count: int) -> None:
    asyncio.run(_fill(count))
