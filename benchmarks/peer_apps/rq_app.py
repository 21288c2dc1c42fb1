import redis
from rq import Queue, SimpleWorker

from benchmarks.peer_apps import SOCKET, note_time

connection = redis.Redis(unix_socket_path=SOCKET, db=0)
queue = Queue("bench", connection=connection)


def noop() -> None:
    return None


def fill(count: int) -> None:
    queue.enqueue(note_time, "began")
    for _ in range(count):
        queue.enqueue("benchmarks.peer_apps.rq_app.noop")
    queue.enqueue(note_time, "ended")


def work() -> None:
    SimpleWorker([queue], connection=connection).work(logging_level="ERROR")
