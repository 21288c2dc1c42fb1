"""A queue of any length: what a worker and a client ask Redis for is the same, and nothing blocks it."""

from canvas.drivers.ports.values import Lease
from tests.worker.commands import task

OF_CONNECTIONS = ("config", "info", "ping", "select", "client", "hello", "auth")
"""Commands that a connection sends when it is opened, or was idle, and those of this test."""


def commands(bench, app, messages):
    """The commands, and how often each was called, to look at a queue, to lease of it, and to delete it."""
    task(app, "ident").delay(1)
    payload = bench.broker.rpop("celery")
    for first in range(0, messages, 5_000):
        bench.broker.rpush("celery", *[payload] * min(5_000, messages - first))
    driver = app.driver
    driver.recovery.heartbeat("w", ["celery"], 60)
    driver.broker.lease(Lease("w", ("celery",), 1))  # which loads the script
    bench.broker.config_resetstat()
    assert driver.admin.queue_length("celery") == messages - 1
    assert len(driver.broker.lease(Lease("w", ("celery",), 10))) == 10
    assert driver.admin.in_flight().leased == 11
    assert driver.admin.purge("celery") == messages - 11
    stats = bench.broker.info("commandstats")
    bench.empty()
    calls = {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}
    return {name: count for name, count in calls.items() if not name.startswith(OF_CONNECTIONS)}


def test_a_long_queue_takes_the_commands_of_a_short_one(bench, app):
    few, many = commands(bench, app, 100), commands(bench, app, 20_000)
    assert few == many


def test_the_messages_of_a_purged_queue_are_freed_beside_redis_other_work(bench, app):
    """``DEL`` frees each message before Redis goes on: a million of them would block all clients."""
    found = commands(bench, app, 20)
    assert found["unlink"] == 1
    assert "del" not in found
