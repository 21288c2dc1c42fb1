import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peer_apps import SOCKET, note_time

broker = RedisBroker(url=f"unix://{SOCKET}?db=0")
broker.add_middleware(Results(backend=RedisBackend(url=f"unix://{SOCKET}?db=1")))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop() -> None:
    return None


@dramatiq.actor
def note(name: str) -> None:
    note_time(name)


def fill(count: int) -> None:
    note.send("began")
    for _ in range(count):
        noop.send()
    note.send("ended")
