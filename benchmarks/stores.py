"""Result stores other than Redis, beside Celery's backends on the same server: PostgreSQL and Memcached."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.arena import LIBRARIES, Arena, machine, median
from benchmarks.measures import chord, chords
from tests.support.memcached import MemcachedServer
from tests.support.postgres import PostgresServer

ROUNDS = 3
TASKS, CHORDS, WIDE, CALLS = 1_000, 10, 1_000, 50
_LOOKS = 0.02
"""Seconds between two looks at the number of results."""


class StoreArena(Arena):
    """Messages in Redis, results at another URL."""

    def __init__(self, url: str, count: Callable[[], int], clear: Callable[[], object]) -> None:
        """``count`` returns the number of results, ``clear`` deletes them."""
        super().__init__(results=url)
        self._count = count
        self._clear = clear

    def rate(self, count: int) -> float:
        """Results a second, from when a tenth of ``count`` is there to when all are."""
        while (first := self._count()) < count * 0.1:
            time.sleep(_LOOKS)
        started = time.perf_counter()
        while self._count() < count:
            time.sleep(_LOOKS)
        return (count - first) / (time.perf_counter() - started)

    def fill(self, count: int, task: str = "bench.noop", key: str = "celery", **call: object) -> None:
        self._clear()
        super().fill(count, task, key, **call)

    def latency(self, library: str) -> float:
        """Milliseconds from sending a task to an idle worker to its result, at the median."""
        noop, found = self.apps[library].tasks["bench.noop"], []
        for _ in range(CALLS):
            started = time.perf_counter()
            noop.delay().get(timeout=60)
            found.append((time.perf_counter() - started) * 1000)
        return median(found)


@contextmanager
def postgres() -> Iterator[StoreArena]:
    """PostgreSQL, which does not wait for the disk."""
    import psycopg

    with PostgresServer() as server:
        url = server.new_database()
        address = f"host={server.folder} user=postgres dbname={url.partition('@/')[2].partition('?')[0]}"
        with (
            psycopg.connect(address, autocommit=True) as connection,
            StoreArena(
                url,
                lambda: connection.execute("SELECT count(*) FROM celery_taskmeta").fetchone()[0],  # type: ignore[index]
                lambda: connection.execute("DELETE FROM celery_taskmeta"),
            ) as arena,
        ):
            yield arena


@contextmanager
def memcached() -> Iterator[StoreArena]:
    """Memcached."""
    from pymemcache.client.base import Client

    with MemcachedServer() as server:
        client, cleared = Client(("127.0.0.1", server.port)), 0

        def written() -> int:
            # Memcached counts values that a flush has deleted among its items, until it needs their place.
            return int(client.stats()[b"total_items"])

        def clear() -> None:
            nonlocal cleared
            server.flush()
            cleared = written()

        with StoreArena(server.url, lambda: written() - cleared, clear) as arena:
            yield arena
        client.close()


def figures(arena: StoreArena, library: str) -> dict[str, float]:
    """One round of one library."""
    with arena.worker(library, "threads" if library == "canvas" else "solo"):
        return {
            "noop tasks with results, a second": arena.drained(TASKS),
            "chords of 10, a second": chords(arena, library, CHORDS),
            f"a chord of {WIDE:,}, ms": chord(arena, library, WIDE) * WIDE,
            "from send to result, ms": arena.latency(library),
        }


def main() -> None:
    """Measure and print."""
    print(f"one worker process with one slot; median of {ROUNDS}; {machine()}\n")
    print("| store | figure | canvas | Celery | |\n|---|---|---|---|---|")
    for name, opened in (("PostgreSQL", postgres), ("Memcached", memcached)):
        with opened() as arena:
            found: dict[str, list[dict[str, float]]] = {library: [] for library in LIBRARIES}
            for _ in range(ROUNDS):
                for library in LIBRARIES:
                    found[library].append(figures(arena, library))
        for figure in found["canvas"][0]:
            ours, theirs = (median([one[figure] for one in found[library]]) for library in LIBRARIES)
            times = ours / theirs if "second" in figure else theirs / ours
            print(f"| {name} | {figure} | {ours:,.1f} | {theirs:,.1f} | {times:.1f}x |")


if __name__ == "__main__":
    main()
