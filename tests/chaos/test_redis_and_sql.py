"""Nothing lost and nothing twice with messages in Redis and results in PostgreSQL, whatever is killed when."""

import pytest
import redis

from canvas.testing.contract import eventually
from tests.chaos.storm import Storm
from tests.chaos.test_kills import KILLS
from tests.chaos.test_rabbitmq_and_sql import RestartsDatabase
from tests.chaos.verdict import CALM, values_of
from tests.chaos.workload import assert_nothing_is_left, assert_ran_once, workload
from tests.support.redis_server import RedisServer
from tests.support.seeds import seeds
from tests.support.sql_bench import SqlBench

WEATHER = {
    "kills": (KILLS, 12, 0.3),
    "stalls": (("stall", "kill"), 12, 0.3),
    "connections": (("cut", "cut", "forget_scripts"), 12, 0.1),
    "database": (("restart_database", "kill"), 30, 3.0),
}
"""What happens, the rounds of the workload, and the seconds between two blows."""
RUNS = [pytest.param(how, seed, marks=pytest.mark.slow) for how in WEATHER for seed in seeds(1, 2)]


class RedisAndSql(SqlBench):
    """A bench whose broker is a Redis server."""

    def __init__(self, server, postgres, ledger):
        super().__init__(server.url(0), postgres.new_database(), ledger)
        self.postgres = postgres
        self.broker = redis.Redis.from_url(self.url)
        self.results = redis.Redis.from_url(server.url(1))


class DatabaseStorm(RestartsDatabase, Storm):
    """A storm that also hits PostgreSQL."""


@pytest.fixture
def bench(postgres):
    with RedisServer() as server, RedisServer() as ledger:
        bench = RedisAndSql(server, postgres, ledger)
        yield bench
        bench.close()


@pytest.mark.random
@pytest.mark.timeout(400 + CALM)
@pytest.mark.parametrize(("how", "seed"), RUNS)
def test_every_workflow_ends_with_its_value(bench, app, how, seed):
    blows, rounds, pause = WEATHER[how]
    key = bench.new_key()
    sent = workload(app, key, rounds)
    with DatabaseStorm(bench, seed, blows, pause) as storm:
        values = values_of(sent, bench, key, storm, 200)
    assert values == [value for _, value in sent]
    assert_ran_once(bench, key, rounds, storm.killed)
    assert_nothing_is_left(bench)
    eventually(lambda: not bench.count("chords", state="ready"), 60)
