"""Workflows that wait: bytes of a waiting run, signals a second and their cost, timers that are due at once, rounds of
loops and runs inside of runs beside the links of a chain."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.arena import Arena, machine, median, seconds
from benchmarks.large import processor_seconds
from canvas import Canvas, Workflow, chain

WAITING = 3_000
TIMERS = 10_000
ROUNDS = 300
RUNS = 5


def waiting(app: Canvas) -> Workflow:
    """A small workflow that waits: an approval before a task."""
    flow = Workflow("approval", app)
    flow.add(app.tasks["bench.link"].s(flow.wait_for("answer")), name="decide")
    return flow


def signals(arena: Arena, app: Canvas) -> None:
    """Print the bytes of a run that waits, and how fast signals reach such runs."""
    before = arena.broker.info("memory")["used_memory"]
    runs = [waiting(app).apply_async() for _ in range(WAITING)]
    held = arena.broker.info("memory")["used_memory"] - before
    print(f"a run that waits for a signal: {held / WAITING:,.0f} bytes in Redis, of {WAITING:,}")
    alone, beside, loop = (runs[part::3] for part in range(3))
    for threads, some in ((1, alone), (8, beside)):
        with ThreadPoolExecutor(threads) as pool:
            took = seconds(lambda: list(pool.map(lambda run: run.signal("answer", 1), some)))  # noqa: B023 - at once
        print(f"signals from {threads} threads of one process: {len(some) / took:,.0f}/s")

    async def at_once() -> None:
        await asyncio.gather(*(run.asignal("answer", 1) for run in loop))

    print(f"signals from an event loop, all at once: {len(loop) / seconds(lambda: asyncio.run(at_once())):,.0f}/s")
    for run in runs:
        run.get(timeout=120)


def signals_alone(arena: Arena, app: Canvas) -> None:
    """Print the processor time that signals cost their client and Redis; no worker runs."""
    runs = [waiting(app).apply_async() for _ in range(WAITING)]

    async def at_once() -> None:
        await asyncio.gather(*(run.asignal("answer", 1) for run in runs))

    server = arena.broker.info("server")["process_id"]
    client, redis = time.process_time(), processor_seconds(server)
    took = seconds(lambda: asyncio.run(at_once()))
    client, redis = time.process_time() - client, processor_seconds(server) - redis
    print(
        f"signals from an event loop without a worker: {WAITING / took:,.0f}/s; "
        f"{client / WAITING * 1e6:.0f} us of the client's processor time, {redis / WAITING * 1e6:.0f} us of Redis'"
    )


def timers(arena: Arena, app: Canvas) -> None:
    """Print how long timers that are due at one moment take to wake, and how long other tasks wait meanwhile."""
    flow = Workflow("timers", app)
    due = time.time() + 15
    naps = [flow.sleep(until=due) for _ in range(TIMERS)]
    flow.add(app.tasks["bench.link"].s(0), after=naps, name="end")
    run = flow.apply_async()
    while time.time() < due:
        time.sleep(0.01)
    longest = 0.0
    while not run.ready():
        longest = max(longest, seconds(lambda: app.tasks["bench.noop"].delay().get(timeout=120)))
    took = time.time() - due
    print(
        f"{TIMERS:,} timers due at once: {took:.2f} s, {TIMERS / took:,.0f}/s; a task beside: {longest:.3f} s at most"
    )


def steps(app: Canvas) -> None:
    """Print the time of a round of a loop, and of a run inside of a run, beside a link of a chain."""
    link, more, stop = (app.tasks[f"bench.{name}"] for name in ("link", "more", "stop"))
    found: dict[str, list[float]] = {"chain": [], "loop": [], "loop with a condition": [], "runs inside": []}
    for _ in range(RUNS + 1):
        links = chain(more.s(0), *(more.s() for _ in range(ROUNDS - 1)))
        found["chain"].append(seconds(lambda: links.delay().get(timeout=120)))  # noqa: B023 - called at once
        counted, conditional, nested = (Workflow(name, app) for name in ("counted", "conditional", "nested"))
        counted.loop(more.s(), 0, at_most=ROUNDS)
        found["loop"].append(seconds(lambda: counted.apply_async().get(timeout=120)))  # noqa: B023 - called at once
        conditional.loop(more.s(), 0, until=stop.s(ROUNDS), at_most=ROUNDS + 1)
        found["loop with a condition"].append(
            seconds(lambda: conditional.apply_async().get(timeout=120))  # noqa: B023 - called at once
        )
        inner = Workflow("inner", app)
        inner.add(link.s(1))
        last = nested.add(inner, name="0")
        for number in range(1, ROUNDS):
            last = nested.add(inner, name=str(number), after=last)
        found["runs inside"].append(
            seconds(lambda: nested.apply_async().get(timeout=120))  # noqa: B023 - called at once
        )
    base = median(found["chain"][1:]) / ROUNDS * 1e3
    for name, times in found.items():
        each = median(times[1:]) / ROUNDS * 1e3
        print(f"{name:<22} {each:>7.2f} ms a step, {each / base:>5.2f} times a link of a chain")


def main() -> None:
    """Measure and print."""
    print(f"median of {RUNS}; {machine()}")
    with Arena() as arena:
        app = arena.apps["canvas"]
        with arena.worker("canvas"):
            steps(app)
            arena.flush()
            signals(arena, app)
            arena.flush()
            timers(arena, app)
        arena.flush()
        signals_alone(arena, app)


if __name__ == "__main__":
    main()
