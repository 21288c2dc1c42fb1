"""The wait of a prefork node's parent for its children, in one process."""

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from canvas.testing.contract import eventually
from canvas.worker.consumer.shared_wait import SharedWait
from canvas.worker.monitoring.shared_memory import SharedMemory
from tests.worker.commands import task

NODE = "node"


@pytest.fixture
def shared(app):
    shared = SharedWait(app.driver, SharedMemory(), NODE, ["celery"], 60)
    shared.start()
    yield shared
    shared.close()
    assert not shared.is_alive()


@pytest.fixture
def children(shared):
    """What two children's waits return, each on a thread."""
    ends = [shared.enlist(shared._memory.open_row()) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        yield [threads.submit(end.wait, "child", ["celery"], 20) for end in ends]
        for end in ends:
            end.interrupt()


def test_one_message_wakes_one_child_and_another_one_where_that_does_not_lease_it(bench, app, shared, children):
    eventually(lambda: all(child.row.waits for child in shared._children))
    result = task(app, "add").delay(1, 2)
    woken, rest = wait(children, 10, FIRST_COMPLETED)
    assert [child.result() for child in woken] == [1]
    (other,) = rest
    assert other.result(5) == 1
    assert bench.broker.llen(f"canvas:prefetched:{NODE}:celery") == 1
    result.forget()


def test_a_message_that_no_child_leases_goes_back_when_the_node_stops(bench, app, shared, children):
    task(app, "add").delay(1, 2)
    wait(children, 10)
    shared.close()
    assert bench.broker.llen("celery") == 1
    assert not bench.broker.keys("canvas:prefetched:*")
    bench.empty()
