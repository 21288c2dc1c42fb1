"""Nothing lost and nothing twice, whoever is killed when: every workflow ends with its value, and what ran twice was
running when its worker was killed."""

import pytest

from tests.chaos.storm import Storm
from tests.chaos.verdict import CALM, values_of
from tests.chaos.workload import assert_nothing_is_left, assert_ran_once, workload
from tests.support.seeds import seeds

KILLS = ("kill", "kill", "kill_child", "kill_parent")
WEATHER = {
    "kills": KILLS,
    "stalls": ("stall", "kill"),
    "connections": ("cut", "cut", "forget_scripts"),
    "restarts": ("restart", "restart", "cut"),
    "all": (*KILLS, "stall", "cut", "forget_scripts", "restart"),
}
SAMPLED = [("all", 1)]
RUNS = [
    pytest.param(how, seed, marks=() if (how, seed) in SAMPLED else pytest.mark.slow)
    for how in WEATHER
    for seed in seeds(*range(1, 8))
]


@pytest.mark.random
@pytest.mark.timeout(240 + CALM)
@pytest.mark.parametrize(("how", "seed"), RUNS)
def test_every_workflow_ends_with_its_value(bench, app, how, seed):
    key, rounds = bench.new_key(), 24
    pause = 0.1 if how == "connections" else 0.3  # seconds; little is lost with a connection
    with Storm(bench, seed, WEATHER[how], pause) as storm:
        sent = workload(app, key, rounds)
        values = values_of(sent, bench, key, storm, 120)
    assert values == [value for _, value in sent]
    assert storm.blows > 0
    assert_ran_once(bench, key, rounds, storm.killed)
    assert_nothing_is_left(bench)
