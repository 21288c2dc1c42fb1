"""Nothing lost and nothing twice with messages in RabbitMQ, state and results in PostgreSQL, whatever is killed when."""

import signal
from dataclasses import dataclass

import pytest

from tests.chaos.storm import POOLS
from tests.chaos.test_kills import KILLS
from tests.chaos.test_rabbitmq import RabbitStorm, make_quorum_queues, own_node, ran_in
from tests.chaos.verdict import CALM, values_of
from tests.chaos.workload import assert_ran_once, runs_of, workload
from tests.support.redis_server import RedisServer
from tests.support.seeds import seeds
from tests.support.sql_bench import SqlBench, assert_nothing_is_left
from tests.support.sql_history import History
from tests.worker.commands import start

_STATE = "canvas.drivers.sql.state"
_SETTLER = f"{_STATE}.settlers:SqlSettler"
_MESSAGES = f"{_STATE}.messages:SqlMessages"
_SESSION = "canvas.drivers.amqp.channels.session:Session"


@dataclass
class Instant:
    """A call of a worker, and its number among the calls of that method in its process."""

    name: str
    method: str
    when: str
    count: int = 1

    @property
    def setting(self):
        return f"{self.method}:{self.when}:{self.count}"


INSTANTS = [
    Instant("delivered, not leased", f"{_MESSAGES}.register", "before", 2),
    Instant("leased, not handed out", f"{_MESSAGES}.register", "after", 2),
    Instant("before it settles", f"{_SETTLER}._settled", "before", 2),
    Instant("settled, its messages not sent", f"{_SETTLER}._settled", "after", 3),
    Instant("before a transaction of RabbitMQ", f"{_SESSION}.exchange", "before", 9),
    Instant("after a transaction of RabbitMQ", f"{_SESSION}.exchange", "after", 9),
    Instant("messages sent, outbox not emptied", f"{_MESSAGES}.sent", "before", 2),
    Instant("outbox emptied", f"{_MESSAGES}.sent", "after", 2),
    Instant("before a chord's body", f"{_SETTLER}.dispatch_chord", "before"),
    Instant("after a chord's body", f"{_SETTLER}.dispatch_chord", "after"),
    Instant("before a heartbeat", f"{_STATE}.recovery:SqlRecovery.heartbeat", "before", 3),
]
SAMPLED = {("settled, its messages not sent", "threads")}
CASES = [
    pytest.param(instant, pool, id=f"{instant.name}-{pool[1]}",
                 marks=() if (instant.name, pool[1]) in SAMPLED else pytest.mark.slow)
    for instant in INSTANTS
    for pool in POOLS
]  # fmt: skip
WEATHER = {
    "kills": KILLS,
    "stalls": ("stall", "kill"),
    "restarts": ("restart", "kill_child"),
    "database": ("restart_database", "kill"),
}
RUNS = [pytest.param(how, seed, marks=pytest.mark.slow) for how in WEATHER for seed in seeds(1, 2)]


@pytest.fixture(scope="module")
def ledger():
    with RedisServer() as server:
        yield server


@pytest.fixture
def bench(rabbitmq, postgres, ledger):
    bench = SqlBench(rabbitmq.url(), postgres.new_database(), ledger)
    bench.postgres = postgres
    yield bench
    bench.close()


def another_takes_over(bench, app, instant, pool):
    """A worker dies at an instant of a workload, and another one ends it."""
    key, rounds = bench.new_key(), 2
    worker = start(bench, *pool, short_leases=1, die_in=instant.setting)
    sent = workload(app, key, rounds)
    assert worker.wait(60) == -signal.SIGKILL
    killed = ran_in(bench, key)
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        assert [result.get(timeout=90) for result, _ in sent] == [value for _, value in sent]
    assert_ran_once(bench, key, rounds, killed)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("instant", "pool"), CASES)
def test_a_worker_dies_and_another_takes_over(bench, app, instant, pool):
    another_takes_over(bench, app, instant, pool)
    assert_nothing_is_left(bench, app)


class RestartsDatabase:
    """What a storm does to PostgreSQL."""

    def _do_restart_database(self, pool):
        """Stop PostgreSQL as a crash would, and start it again."""
        self._bench.postgres.stop()
        self._over.wait(1)
        self._bench.postgres.start()


class SqlStorm(RestartsDatabase, RabbitStorm):
    """A storm that also hits PostgreSQL."""


def weather(bench, app, how, seed, rounds, pause):
    key = bench.new_key()
    sent = workload(app, key, rounds)
    history = History(bench.database)
    try:
        with SqlStorm(bench, seed, how, pause) as storm:
            values = values_of(sent, bench, key, storm, 200)
        assert values == [value for _, value in sent]
        assert storm.blows > 0
        interrupted = ran_in(bench, key) if "kill_broker" in how else storm.killed
        assert_ran_once(bench, key, rounds, interrupted)
        assert_nothing_is_left(bench, app)
    except AssertionError:
        explain(bench, key, history, storm)
        raise
    finally:
        history.close()


def explain(bench, key, history, storm):
    """Print what is known of the tasks that ran more than once, and of the processes that ran them."""
    print("\n".join(storm.log))
    for task_id, found in runs_of(bench, key).items():
        if len(found) > 1:
            print(f"-- {task_id} ran in {found}", *history.of(task_id.partition(".")[0]), sep="\n")
    print("-- workers", *history.of('"silent_since"'), sep="\n")
    print(*storm.logs(), sep="\n")


@pytest.mark.random
@pytest.mark.timeout(400 + CALM)
@pytest.mark.parametrize(("how", "seed"), RUNS)
def test_every_workflow_ends_with_its_value(bench, app, how, seed):
    rounds, pause = (40, 3.0) if how == "database" else (12, 0.3)
    weather(bench, app, WEATHER[how], seed, rounds, pause)


@pytest.mark.slow
@pytest.mark.random
@pytest.mark.timeout(400 + CALM)
@pytest.mark.parametrize("seed", seeds(1, 2))
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_broker_that_is_killed(postgres, ledger, queue_type, seed):
    with own_node() as node:
        bench = SqlBench(node.url("t0"), postgres.new_database(), ledger)
        bench.postgres, bench.node, bench.queue_type = postgres, node, queue_type
        if queue_type == "quorum":
            make_quorum_queues(node)
        with bench.client() as app:
            weather(bench, app, ("kill_broker", "kill", "restart_database"), seed, 30, 3.0)
        bench.close()
