"""Memory of one worker process: at rest, during many tasks, with many waiting, with many for later."""

import os
import signal
import time
from collections.abc import Callable

from benchmarks.arena import LIBRARIES, Arena, machine, resident

TASKS = {"canvas": 100_000, "celery": 10_000}
WAITING = 1_000_000
LATER = 100_000
_FILLED_AT_ONCE = 50_000


def looks(arena: Arena, library: str) -> list[tuple[str, float]]:
    """What was looked at, and MiB."""
    found = []
    with arena.worker(library) as pid:
        found.append(("at rest", resident(pid)))
        count = TASKS[library]
        for look in range(1, 6):
            arena.drained(count // 5)
            found.append((f"after {count * look // 5:,} tasks", resident(pid)))
    arena.flush()
    with arena.worker(library) as pid:
        os.kill(pid, signal.SIGSTOP)
        for _ in range(WAITING // _FILLED_AT_ONCE):
            arena.fill(_FILLED_AT_ONCE)
        os.kill(pid, signal.SIGCONT)
        arena.wait(lambda: arena.results.dbsize() > 1_000)
        found.append((f"with {WAITING:,} waiting", resident(pid)))
        arena.flush()
    arena.flush()
    with arena.worker(library) as pid:
        noop = arena.apps[library].tasks["bench.noop"]
        for _ in range(LATER):
            noop.apply_async(countdown=3600, ignore_result=True)
        arena.wait(lambda: arena.broker.llen("celery") == 0)
        found.append((f"with {LATER:,} tasks for in an hour", _settled(lambda: resident(pid))))
    arena.flush()
    return found


def _settled(look: Callable[[], float]) -> float:
    """The figure once it no longer grows."""
    before = -1.0
    while (now := look()) > before + 0.5:
        before = now
        time.sleep(1.0)
    return now


def main() -> None:
    """Print the table."""
    print(machine())
    with Arena() as arena:
        for library in LIBRARIES:
            for what, size in looks(arena, library):
                print(f"{library:<8} {what:<32} {size:>8.1f} MiB")


if __name__ == "__main__":
    main()
