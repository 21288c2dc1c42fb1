"""``start_worker``: a worker on a thread of a test."""

import threading

import pytest

from canvas import Canvas
from canvas.testing.worker import start_worker


def test_a_call_just_before_the_end_of_the_block_is_run_on_a_busy_machine():
    """The worker is asked to stop between its lease and the start of the task."""
    app = Canvas("tested", broker="memory://tested", backend="memory://tested")
    add = app.task(name="add")(lambda x, y: x + y)
    over = threading.Event()
    busy = [threading.Thread(target=keep_busy, args=(over,)) for _ in range(3)]
    for thread in busy:
        thread.start()
    try:
        for number in range(10):
            with start_worker(app, pool="threads"):
                result = add.delay(number, 1)
            assert result.get(timeout=5) == number + 1
    finally:
        over.set()
        for thread in busy:
            thread.join()
    app.close()


def keep_busy(over):
    while not over.is_set():
        sum(range(1000))


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_call_just_before_the_end_of_the_block_is_run(pool):
    app = Canvas("tested", broker="memory://tested", backend="memory://tested")
    add = app.task(name="add")(lambda x, y: x + y)
    for number in range(5):
        with start_worker(app, pool=pool):
            result = add.delay(number, 1)
        assert result.get(timeout=10) == number + 1
    with start_worker(app, pool=pool, queues="other"):
        left = add.delay(1, 1)
    assert not left.ready()
    app.close()
