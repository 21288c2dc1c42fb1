"""USR1: a worker writes what its threads do, and goes on."""

import signal

import pytest

from canvas.testing.contract import eventually
from tests.worker.commands import start, task


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_busy_worker_survives_many_dumps_of_its_threads(bench, app, pool):
    """A dump that looked at threads while they run would end the process now and then."""
    with start(bench, "-P", pool, "-c", "2", "-l", "WARNING") as worker:
        for _ in range(100):
            sent = [task(app, "add").delay(1, 1) for _ in range(3)]
            written = len(worker.log)
            worker.signal(signal.SIGUSR1)
            eventually(lambda written=written: any("most recent call first" in line for line in worker.log[written:]))
        assert [result.get(timeout=20) for result in sent] == [2, 2, 2]
        worker.stop()
        assert worker.process.returncode == 0
