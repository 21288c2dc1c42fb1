"""A worker dies between two steps of a settlement whose messages and results are on servers of two kinds."""

import pytest

from tests.chaos.test_rabbitmq_and_sql import Instant, another_takes_over
from tests.chaos.test_redis_and_sql import RedisAndSql
from tests.chaos.workload import assert_nothing_is_left
from tests.support.rabbit_bench import RabbitBench
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
_STEPS = "canvas.drivers.two_step:TwoStepSettler"
_CHORDS = "canvas.drivers.sql.chords:SqlChords"
_RABBIT = "canvas.drivers.amqp.settler:AmqpSettler"
_STATE = "canvas.drivers.redis.message_state:StateBroker"
REDIS_AND_SQL = [
    # The instants in between are in tests/sql/test_sql_chords.py.
    Instant("before records", f"{_STEPS}._record", "before", 3),
    Instant("settled, before the next", f"{_STEPS}.settle", "after", 5),
    Instant("a chord is forgotten", f"{_CHORDS}.delete_chord", "after"),
]
RABBITMQ_AND_REDIS = [
    Instant("delivered, not leased", f"{_STATE}.register", "before", 2),
    Instant("leased, not handed out", f"{_STATE}.register", "after", 2),
    Instant("settled, its messages not sent", f"{_RABBIT}._transact", "before", 5),
    Instant("messages sent, before the next", f"{_RABBIT}._transact", "after", 5),
    Instant("messages sent, outbox not emptied", f"{_STATE}.sent", "before", 2),
    Instant("outbox emptied", f"{_STATE}.sent", "after", 2),
    Instant("before a chord's body", f"{_RABBIT}._end", "before"),
]
POOLS = {"threads": ("-P", "threads", "-c", "3"), "prefork": ("-P", "prefork", "-c", "2")}


@pytest.fixture
def servers():
    with RedisServer() as server, RedisServer() as ledger:
        yield server, ledger


@pytest.fixture
def redis_and_sql(servers, postgres):
    bench = RedisAndSql(servers[0], postgres, servers[1])
    yield bench
    bench.close()


@pytest.fixture
def rabbitmq_and_redis(servers, rabbitmq):
    return RabbitBench(servers[0], rabbitmq.url(), servers[1])


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(
    ("pair", "instant"),
    [*(("redis_and_sql", one) for one in REDIS_AND_SQL), *(("rabbitmq_and_redis", one) for one in RABBITMQ_AND_REDIS)],
    ids=lambda one: getattr(one, "name", one),
)
def test_another_takes_over(request, pair, instant, pool):
    bench = request.getfixturevalue(pair)
    with bench.client() as app:
        another_takes_over(bench, app, instant, POOLS[pool])
        assert_nothing_is_left(bench)
