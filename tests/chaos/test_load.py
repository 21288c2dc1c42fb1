"""Much of it: messages, parts, waiting clients, bytes."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas import chord
from canvas.errors import EncodeError
from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.processes import resident
from tests.worker.commands import start, task


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_messages_wait(bench, app):
    ident = task(app, "ident")
    ident.apply_async((1,), ignore_result=True)
    raw = bench.broker.rpop("celery")
    for _ in range(1000):
        bench.broker.lpush("celery", *[raw] * 1000)
    with start(bench, "-P", "solo") as worker:
        first = eventually(lambda: resident([worker.process.pid]))
        eventually(lambda: bench.broker.llen("celery") < 900_000, 300)
        # Another queue does not wait behind them; nor is the worker any larger.
        assert ident.apply_async((2,), queue="celery", priority=0, countdown=0.1).id
        urgent = ident.apply_async((3,), queue="urgent")
        app.control.add_consumer("urgent")
        assert urgent.get(timeout=60) == 3
        assert resident([worker.process.pid]) < first + 60
        app.control.purge()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_chord_of_a_hundred_thousand_parts(bench, app):
    with start(bench, "-P", "prefork", "-c", "2"):
        result = chord([task(app, "ident").s(1) for _ in range(100_000)], task(app, "tsum").s()).delay()
        assert result.get(timeout=800) == 100_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_waiting_clients(bench, app):
    """A hundred connections' worth of threads, and a loop with the rest."""
    import asyncio

    ident = task(app, "ident")
    results = [ident.delay(number) for number in range(10_000)]

    async def wait_for_all():
        started = [asyncio.create_task(result.aget(timeout=300)) for result in results[100:]]
        with start(bench, "-P", "solo"):
            return await asyncio.gather(*started)

    with ThreadPoolExecutor(100) as threads:
        waiting = [threads.submit(result.get, timeout=300) for result in results[:100]]
        assert asyncio.run(wait_for_all()) == list(range(100, 10_000))
        assert [one.result() for one in waiting] == list(range(100))
    eventually(lambda: len(bench.server.client().client_list()) < 150)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_results_of_fifty_megabytes(bench, app):
    text = "x" * 50_000_000
    with start(bench, "-P", "solo") as worker:
        for _ in range(3):
            assert task(app, "long_text").delay(50_000_000).get(timeout=60) == text
        assert resident([worker.process.pid]) < 800


def test_a_message_of_a_hundred_megabytes_is_refused_as_it_is_sent(bench, app):
    client = make("canvas", *bench.urls()[:2], task_message_max_bytes=64 * 2**20)
    with pytest.raises(EncodeError, match=r"t\.ident.*the message is 1\d\d,\d+,\d+ bytes.*task_message_max_bytes"):
        task(client, "ident").delay("x" * 100_000_000)
    assert bench.broker.llen("celery") == 0
    client.close()
