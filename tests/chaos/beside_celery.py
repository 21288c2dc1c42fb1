"""The same kills for canvas and for Celery in its safest settings: what each loses. ``python -m tests.chaos.beside_celery``

Workers of two prefork children each, one of which is killed every second, whole; the workload of ``tests.chaos``.
"""

import argparse
import os
import random
import signal
import threading
import time
from collections import Counter

from tests.chaos.conftest import Apart
from tests.chaos.workload import tasks_of, workload
from tests.support.apps import make
from tests.support.redis_server import RedisServer
from tests.worker.commands import start

WORKERS = 2
FINISHED_WITHIN = 60
PAUSE = 1.0
SAFEST = {
    # Acked after they ran, rejected when their process is lost, one at a time, restored after five seconds.
    "celery": {"acks_late": 1, "lost": 1, "visibility": 5, "one_ahead": 1},
    "canvas": {"short_leases": 1},
}


def storm(library, rounds, seed):
    """What became of ``rounds`` times six workflows: a counter."""
    chance = random.Random(seed)
    with RedisServer() as server, RedisServer() as ledger:
        bench = Apart(server, ledger)
        broker, backend, notes = bench.urls()
        app = make(library, broker, backend, ledger=notes)
        fleet = [_worker(bench, library, number).ready() for number in range(WORKERS)]
        key, over, found = bench.new_key(), threading.Event(), Counter()

        def kill():
            while not over.wait(PAUSE * chance.uniform(0.5, 1.5)) and time.monotonic() < calm:
                number = chance.randrange(WORKERS)
                victim = fleet[number].ready()
                os.killpg(victim.process.pid, signal.SIGKILL)
                victim.wait()
                found["kills"] += 1
                fleet[number] = _worker(bench, library, number)

        calm = time.monotonic() + rounds * 1.5
        killer = threading.Thread(target=kill)
        killer.start()
        sent = workload(app, key, rounds, library)
        for result, value in sent:
            found[_end(result, value, calm + FINISHED_WITHIN)] += 1
        over.set()
        killer.join()
        for worker in fleet:
            worker.signal(signal.SIGKILL)
        found["workflows"] = len(sent)
        runs = Counter(
            note.split()[0] for note in ledger.client(0, decode_responses=True).lrange(f"ledger:{key}", 0, -1)
        )
        found["tasks run again"] = sum(count - 1 for count in runs.values())
        found["tasks"] = tasks_of(rounds)
        return found


def _worker(bench, library, number):
    return start(bench, "-P", "prefork", "-c", "2", "-n", f"w{number}@%h", library=library, **SAFEST[library])


def _end(result, value, deadline):
    while time.monotonic() < deadline:
        try:
            if result.ready():
                return "right" if result.successful() and result.get(timeout=5) == value else "wrong"
        except Exception:  # noqa: BLE001 - a result that cannot be read is asked for again until the deadline
            time.sleep(0.1)
        time.sleep(0.01)
    return "lost"


def main():
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=40)
    arguments.add_argument("--seeds", type=int, default=3)
    options = arguments.parse_args()
    for library in ("canvas", "celery"):
        total = Counter()
        for seed in range(1, options.seeds + 1):
            total += storm(library, options.rounds, seed)
        print(library, dict(total), flush=True)


if __name__ == "__main__":
    main()
