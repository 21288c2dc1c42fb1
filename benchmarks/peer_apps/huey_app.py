import redis
from huey import RedisHuey

from benchmarks.peer_apps import SOCKET, note_time

pool = redis.ConnectionPool(connection_class=redis.UnixDomainSocketConnection, path=SOCKET, db=0)
huey = RedisHuey("bench", connection_pool=pool, store_none=True)


@huey.task()
def noop() -> None:
    return None


@huey.task()
def note(name: str) -> None:
    note_time(name)


def fill(count: int) -> None:
    note("began")
    for _ in range(count):
        noop()
    note("ended")
