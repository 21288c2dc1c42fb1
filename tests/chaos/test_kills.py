"""Nothing lost and nothing twice, whoever is killed when: every workflow ends with its value, and what ran twice was
running when its worker was killed."""

import random
from collections import Counter, defaultdict

import pytest

from canvas import chain, chord, group
from canvas.testing.contract import eventually
from tests.chaos.storm import Storm
from tests.worker.commands import start, task

KILLS = ("kill", "kill", "kill_child", "kill_parent")
WEATHER = {
    "kills": KILLS,
    "stalls": ("stall", "kill"),
    "connections": ("cut", "cut", "forget_scripts"),
    "restarts": ("restart", "restart", "cut"),
    "all": (*KILLS, "stall", "cut", "forget_scripts", "restart"),
}
SAMPLED = [("kills", 1), ("all", 1)]
RUNS = [
    pytest.param(how, seed, marks=() if (how, seed) in SAMPLED else pytest.mark.slow)
    for how in WEATHER
    for seed in range(1, 8)
]


def workload(app, key, rounds):
    """Workflows of each kind, sent; each with the value it must have."""
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


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("how", "seed"), RUNS)
def test_every_workflow_ends_with_its_value(bench, app, how, seed):
    key, rounds = bench.new_key(), 12
    with Storm(bench, seed, WEATHER[how]) as storm:
        sent = workload(app, key, rounds)
        values = [result.get(timeout=120) for result, _ in sent]
    assert values == [value for _, value in sent]
    assert storm.blows > 0
    runs = defaultdict(list)
    for note in bench.ledgers.lrange(f"ledger:{key}", 0, -1):
        task_id, pid = note.split()
        runs[task_id].append(int(pid))
    assert len(runs) == tasks_of(rounds)
    again = {task_id: pids for task_id, pids in runs.items() if len(pids) > 1}
    for task_id, pids in again.items():
        survivors = [pid for pid in pids if pid not in storm.killed]
        assert len(survivors) <= 1, f"{task_id} ran in {pids}, of which {survivors} were not killed"
    assert_nothing_is_left(bench)


def assert_nothing_is_left(bench):
    """No message, lease or open chord, once a worker has looked for the dead; what stays expires."""
    with start(bench, "-P", "solo", "-n", "last@%h", short_leases=1):
        eventually(lambda: bench.broker.hlen("canvas:workers") == 1, 30)
    broker = {name.decode(): bench.broker.ttl(name) for name in bench.broker.keys()}
    stays = Counter(name for name, ttl in broker.items() if ttl < 0 and not name.startswith("_kombu.binding"))
    assert not stays, stays
    results = {name.decode(): bench.results.ttl(name) for name in bench.results.keys()}
    assert not [name for name, ttl in results.items() if ttl < 0]
