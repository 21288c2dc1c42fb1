"""One to eight worker processes on one Redis, and one chord from 1,000 to 100,000 parts."""

from benchmarks import measures
from benchmarks.arena import Arena, machine, median

PROCESSES = (1, 2, 4, 8)
PARTS = (1_000, 10_000, 100_000)
TASKS = 10_000
RUNS = 5


def main() -> None:
    """Measure and print."""
    print(f"median of {RUNS}; {machine()}")
    with Arena() as arena:
        print("worker processes: tasks/s, and the share of its time that Redis works")
        for processes in PROCESSES:
            arena.flush()
            with arena.worker("canvas", "prefork", processes):
                rates, shares = zip(*[_rate(arena) for _ in range(RUNS)], strict=True)
            print(f"  {processes}: {median(rates):>9,.0f}  {median(shares):>4.0f} %")
        arena.flush()
        with arena.worker("canvas"):
            print("one chord: ms a part, sent to body's result")
            for parts in PARTS:
                runs = RUNS if parts < PARTS[-1] else 1
                took = median([measures.chord(arena, "canvas", parts) for _ in range(runs)])
                print(f"  {parts:>7,}: {took:.3f}")
                arena.flush()


def _rate(arena: Arena) -> tuple[float, float]:
    before = measures.spent(arena)["cpu"]
    rate = measures.noop(arena, "canvas", TASKS)
    used = measures.spent(arena)["cpu"] - before
    return rate, used / TASKS * rate / 1e4


if __name__ == "__main__":
    main()
