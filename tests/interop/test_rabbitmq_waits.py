"""Workflows that wait, repeat and nest, with their messages and timers in RabbitMQ."""

from canvas.testing.contract import eventually
from tests.chaos.test_waits import states_of, waiting_flow
from tests.support.apps import make
from tests.support.processes import WorkerProcess
from tests.support.rabbit_bench import RabbitBench
from tests.support.redis_server import RedisServer


def test_waits_end_as_on_redis(rabbitmq):
    with RedisServer() as server:
        bench = RabbitBench(server, rabbitmq.url())
        broker, backend, ledger = bench.urls()
        with (
            make("canvas", broker, backend, ledger=ledger) as app,
            WorkerProcess("canvas", broker, backend, "-P", "threads", "-c", "3", ledger=ledger),
        ):
            key = bench.new_key()
            run = waiting_flow(app, key, key).apply_async()
            run.signal("go", 5)
            assert run["end"].get(timeout=60) == 14
            assert run.result.get(timeout=60) is None
            eventually(lambda: states_of(run)["late"] == "REVOKED")
