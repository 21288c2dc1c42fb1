"""``start_worker``: a worker on a thread of a test."""

import pytest

from canvas import Canvas
from canvas.testing.worker import start_worker


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
