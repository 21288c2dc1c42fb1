"""Messages that are acked before their task runs: once, whatever pool; what is acked ahead of its turn is not stuck."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from canvas.model.message import Delivery
from canvas.model.settlement import Settlement
from canvas.testing.contract import eventually
from canvas.worker.options import WorkerOptions
from canvas.worker.process import WorkerProcess
from tests.worker.commands import start, task

EARLY = {"CANVAS_TASK_ACKS_LATE": "false"}
POOLS = [("solo",), ("threads", "-c", "4"), ("prefork", "-c", "2"), ("asyncio", "-c", "20")]


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool[0])
def test_each_runs_once_and_nothing_is_left(bench, app, pool):
    key = bench.new_key()
    results = [task(app, "noted").delay(number, key) for number in range(300)]
    with start(bench, "-P", *pool, env=EARLY):
        assert [result.get(timeout=30) for result in results] == list(range(300))
        assert sorted(map(int, bench.ledger(key, 300))) == list(range(300))
    left = {name.decode() for name in bench.broker.keys() if b"begun" in name or b"unacked" in name}
    assert not left


def test_what_was_acked_behind_a_long_task_goes_to_another_worker(bench, app):
    key, slow = bench.new_key(), bench.new_key()
    for number in range(40):
        task(app, "noted").delay(number, key)
    last = task(app, "until_open").delay(slow)
    for number in range(40, 80):
        task(app, "noted").delay(number, key)
    with start(bench, "-P", "solo", "-n", "one@%h", env=EARLY):
        bench.ledger(slow, 1)
        with start(bench, "-P", "solo", "-n", "two@%h", env=EARLY):
            assert sorted(map(int, bench.ledger(key, 80))) == list(range(80))
            assert bench.ledger(slow, 1) == ["start"]
            bench.open(slow)
            assert last.get(timeout=20) == slow


def test_what_was_acked_ahead_is_back_in_the_queue_after_a_stop(bench, app):
    key, slow = bench.new_key(), bench.new_key()
    for number in range(40):
        task(app, "noted").delay(number, key)
    task(app, "slow_then").delay(1, slow)
    for number in range(40, 80):
        task(app, "noted").delay(number, key)
    with start(bench, "-P", "solo", env=EARLY) as worker:
        bench.ledger(slow, 1)
        worker.stop()
    assert bench.ledger(slow, 2) == ["start", "end"]
    with start(bench, "-P", "solo", env=EARLY):
        assert sorted(map(int, bench.ledger(key, 80))) == list(range(80))
        eventually(lambda: not bench.broker.exists("unacked"))


def test_one_that_expires_after_its_ack_ends_as_revoked(bench, app):
    plan = WorkerOptions("here", ["celery"], 1, "solo", 0, False, None, None, None, False, False, None)
    line = WorkerProcess(app, plan, 1, "worker")._pipeline
    result = task(app, "ident").apply_async((1,), expires=60, acks_late=False)
    delivery = Delivery("canvas:worker:0", "celery", bench.broker.rpop("celery"))
    assert line.acks_early(delivery)
    line._early_acked.add(delivery.tag)
    app.clock_offset += 120  # seconds
    settlement = line.do(delivery)
    assert isinstance(settlement, Settlement) and settlement.fence == "early_acked"
    assert [store.task_id for store in settlement.stores] == [result.id]
    assert b"REVOKED" in settlement.stores[0].payload


def test_what_is_opened_before_its_turn_is_not_opened_again(bench, app):
    plan = WorkerOptions("here", ["celery"], 1, "solo", 0, False, None, None, None, False, False, None)
    line = WorkerProcess(app, plan, 1, "worker")._pipeline
    task(app, "ident").delay(1)
    delivery = Delivery("canvas:worker:0", "celery", bench.broker.rpop("celery"))
    message = line.decoder.decode(delivery.payload)
    line.decoder.keep(delivery.payload, message)
    assert line.admit(delivery).message is message
    # Its lease may come twice; each is a message of its own.
    assert line.admit(delivery).message is not message
    assert line.do(Delivery("canvas:worker:1", "celery", b"no envelope")).disposal == "dead_letter"


def test_only_what_nothing_holds_back_is_acked_ahead(bench, app):
    plan = WorkerOptions("here", ["celery"], 1, "solo", 0, False, None, None, None, False, False, None)
    line, numbers = WorkerProcess(app, plan, 1, "worker")._pipeline, count()

    def early(payload):
        return line.acks_early(Delivery(f"canvas:worker:{next(numbers)}", "celery", payload))

    def sent(name, *args, **options):
        task(app, name).apply_async(args, **options)
        return bench.broker.rpop("celery")

    assert early(sent("ident", 1, acks_late=False))
    assert not early(sent("ident", 1, acks_late=True))
    assert not early(sent("ident", 1, acks_late=False, countdown=60))
    assert not early(sent("ident", 1, acks_late=False, expires=datetime.now(UTC) - timedelta(seconds=1)))
    assert not early(b"no envelope")
    app.send_task("unknown", acks_late=False)
    assert not early(bench.broker.rpop("celery"))
