"""What is measured: each function gives one figure of one library."""

import time
from typing import Any

from benchmarks.arena import Arena, median, seconds

_WITHIN = 300


def noop(arena: Arena, library: str, count: int, task: str = "bench.noop") -> float:
    """Tasks a second that do nothing, with stored results, of messages that Celery encoded."""
    return arena.drained(count, task)


def send(arena: Arena, library: str, count: int) -> float:
    """Calls of ``delay`` a second; nobody serves the queue."""
    delay = arena.apps[library].tasks["bench.noop"].delay
    delay()

    def calls() -> None:
        for _ in range(count):
            delay()

    return count / seconds(calls)


def send_group(arena: Arena, library: str, count: int) -> float:
    """Tasks a second of a group that is sent; nobody serves the queue."""
    module = _canvas_of(library)
    task = arena.apps[library].tasks["bench.noop"]
    group = module.group([task.s() for _ in range(count)])
    return count / seconds(group.apply_async)


def chain(arena: Arena, library: str, count: int) -> float:
    """Milliseconds a link of a chain, from its sending to its result."""
    link = arena.apps[library].tasks["bench.link"]
    links = _canvas_of(library).chain(link.s(0), *(link.s() for _ in range(count - 1)))
    return seconds(lambda: links.apply_async().get(timeout=_WITHIN)) / count * 1000


def chord(arena: Arena, library: str, count: int) -> float:
    """Milliseconds a header task of one chord, from its sending to its body's result."""
    tasks = arena.apps[library].tasks
    whole = _canvas_of(library).chord([tasks["bench.noop"].s() for _ in range(count)], tasks["bench.count"].s())
    return seconds(lambda: whole.apply_async().get(timeout=_WITHIN)) / count * 1000


def chords(arena: Arena, library: str, count: int) -> float:
    """Chords of ten a second, from the first one's sending to the last body's result."""
    tasks = arena.apps[library].tasks
    module = _canvas_of(library)

    def run() -> None:
        results = [
            module.chord([tasks["bench.noop"].s() for _ in range(10)], tasks["bench.count"].s()).apply_async()
            for _ in range(count)
        ]
        for result in results:
            result.get(timeout=_WITHIN)

    return count / seconds(run)


def latency(arena: Arena, library: str, count: int) -> list[float]:
    """Milliseconds from sending to an idle worker to the task's start, of each of ``count`` tasks, sorted."""
    clock = arena.apps[library].tasks["bench.clock"]
    found = []
    for _ in range(count):
        time.sleep(0.01)
        sent = time.time()
        found.append((clock.delay().get(timeout=_WITHIN) - sent) * 1000)
    return sorted(found)


def busy(arena: Arena, library: str, task: str, count: int, slots: int) -> float:
    """The share of their time, in percent, in which slots run tasks that take some (``bench.work``, ``bench.rest``)."""
    rate = arena.drained(count, task)
    app = arena.apps[library]
    lasted = median([app.AsyncResult(f"{number:032x}").get(timeout=10) for number in range(0, count, 10)])
    return lasted * rate / slots * 100


def cost(arena: Arena, library: str, count: int) -> dict[str, float]:
    """What a worker costs Redis for a noop task: ``commands``, ``bytes`` in and out, microseconds of its ``cpu``."""
    # The messages are in Redis before the first look, where no worker finds them.
    arena.fill(count, key="aside")
    before = spent(arena)
    arena.broker.rename("aside", "celery")
    arena.rate(count)
    after = spent(arena)
    return {name: (after[name] - before[name]) / count for name in before}


def spent(arena: Arena) -> dict[str, float]:
    """What Redis has done so far: ``commands``, ``bytes`` in and out, microseconds of ``cpu``."""
    info: dict[str, Any] = arena.broker.info("all")
    return {
        "commands": info["total_commands_processed"],
        "bytes": info["total_net_input_bytes"] + info["total_net_output_bytes"],
        "cpu": (info["used_cpu_user"] + info["used_cpu_sys"]) * 1e6,
    }


def _canvas_of(library: str) -> Any:
    """The module that has ``chain``, ``group`` and ``chord``."""
    import celery

    import canvas

    return {"canvas": canvas, "celery": celery}[library]
