"""The periodic duties of workers: a large fleet asks no more of its broker than a small one."""

import pytest

from canvas import Canvas
from canvas.worker import upkeep
from canvas.worker.upkeep import Duties


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: now[0])
    return now


def turns(workers, clock, seconds=60):
    """How often one of so many workers moves what is due, and looks for the dead."""
    app = Canvas("fleet", broker=f"memory://fleet-{workers}", backend=f"memory://fleet-{workers}")
    broker, counts = app.driver.broker, {"promote": 0, "reap": 0}

    def counting(name):
        real = getattr(broker, name)

        def call(*arguments):
            counts[name] += 1
            return real(*arguments)

        return call

    for name in counts:
        setattr(broker, name, counting(name))
    for number in range(workers - 1):
        broker.beat(f"worker-{number}", ["q"], 3600)
    duties = Duties(app.driver, lambda: ["mine"], ["q"], 10.0, 3600.0, None, lambda: None)
    for step in range(seconds * 100):
        clock[0] = step / 100
        duties.tick()
    app.close()
    return counts["promote"] / seconds, counts["reap"] / seconds


def test_the_duties_of_a_few_workers_are_each_ones_own(clock):
    promotes, reaps = turns(4, clock)
    assert promotes == pytest.approx(20, rel=0.1)
    assert reaps == pytest.approx(0.5, rel=0.1)


def test_the_duties_of_many_are_shared(clock):
    promotes, reaps = turns(80, clock)
    assert promotes == pytest.approx(2, rel=0.3)
    assert reaps == pytest.approx(0.05, abs=0.05)
