"""Workflows of each kind with the value each must have, and what has to be true when all of them have ended."""

import random
from collections import Counter, defaultdict
from importlib import import_module

from canvas.testing.contract import eventually
from tests.worker.commands import start, task


def workload(app, key, rounds, library="canvas"):
    """Workflows of each kind, sent; each with the value it must have. ``library`` is the app's."""
    chain, chord, group = (getattr(import_module(library), name) for name in ("chain", "chord", "group"))
    traced, twice = task(app, "traced"), task(app, "traced_twice")
    sent = []
    for base in range(rounds):
        first = traced.s(base, key)
        sent.append((chain(first, traced.s(key), traced.s(key), traced.s(key)).delay(), base + 4))
        sent.append((chord([traced.s(base, key) for _ in range(10)], traced.s(key)).delay(), 10 * (base + 1) + 1))
        inner = [chord([traced.s(base, key) for _ in range(3)], traced.s(key)) for _ in range(3)]
        sent.append((chord(inner, traced.s(key)).delay(), 3 * (3 * (base + 1) + 1) + 1))
        sent.append((traced.apply_async((base, key), countdown=0.5), base + 1))
        sent.append((chain(twice.s(base, key), traced.s(key)).delay(), base + 2))
        joined = chain(first, group(traced.s(key), traced.s(key)), traced.s(key))
        sent.append((joined.delay(), 2 * (base + 2) + 1))
    random.Random(rounds).shuffle(sent)
    return sent


def tasks_of(rounds):
    """How many tasks that workload runs, each retry counted."""
    return rounds * (4 + 11 + 13 + 1 + 4 + 4)


def assert_ran_once(bench, key, rounds, killed):
    """Every task of the workload ran, and at most once in processes that nothing happened to."""
    assert_each_ran_once(bench, key, tasks_of(rounds), killed)


def assert_each_ran_once(bench, key, tasks, killed):
    """``assert_ran_once``, for this number of tasks."""
    runs = runs_of(bench, key)
    assert len(runs) == tasks, sorted(runs)
    for task_id, found in runs.items():
        survivors = [pid for pid, _ in found if pid not in killed]
        assert len(survivors) <= 1, f"{task_id} ran in {found}, of which {survivors} were not killed"


def runs_of(bench, key):
    """By task id, the processes that ran it and when."""
    runs = defaultdict(list)
    for note in bench.ledgers.lrange(f"ledger:{key}", 0, -1):
        task_id, pid, at = note.split()
        runs[task_id].append((int(pid), at))
    return runs


def assert_nothing_is_left(bench, workers=()):
    """Once these workers have stopped and another has looked for the dead: no message, lease or open chord, and what
    stays expires."""
    for worker in workers:
        worker.stop()
    with start(bench, "-P", "solo", "-n", "last@%h", short_leases=1):
        eventually(lambda: bench.broker.hlen("canvas:workers") == 1)
        eventually(lambda: not bench.results.exists("canvas:chords:ready"))
    broker = {name.decode(): bench.broker.ttl(name) for name in bench.broker.keys()}
    # -2: it has expired meanwhile.
    stays = Counter(name for name, ttl in broker.items() if ttl == -1 and not name.startswith("_kombu.binding"))
    assert not stays, stays
    results = {name.decode(): bench.results.ttl(name) for name in bench.results.keys()}
    left = [name for name, ttl in results.items() if ttl == -1]
    assert not left, left
