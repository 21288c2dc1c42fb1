"""The delays for which RabbitMQ has queues, and the names of these queues."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas.drivers.amqp.contents import Outgoing, due_of, to_payload
from canvas.drivers.amqp.delays.delay_queue import DelayQueue, step_of
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.testing.contract.support import envelope


@given(st.floats(0.0001, 10 * 366 * 86_400))
def test_the_queues_of_a_delay_add_up_to_it(seconds):
    left, steps = seconds, 0
    while left > 0:
        delay = step_of(left) / 1000
        assert delay <= max(1.0, left)
        left -= delay
        steps += 1
        assert steps < 300
    assert left >= -0.0501


def test_there_are_some_hundred_queues_at_most():
    assert len({step_of(seconds / 10) for seconds in range(1, 14 * 864_000, 7)}) < 400
    assert step_of(10 * 366 * 86_400) == step_of(15 * 86_400)


@given(st.integers(1, 10**9), st.text(max_size=50), st.booleans())
def test_a_queue_is_known_by_its_name(milliseconds, exchange, quorum):
    queue = DelayQueue(milliseconds, exchange, quorum)
    assert DelayQueue.named(queue.name) == queue


@pytest.mark.parametrize("name", ["", "celery", "canvas.delay.", "canvas.delay.soon", "celery_delayed_3"])
def test_other_names(name):
    assert DelayQueue.named(name) is None


def test_a_message_comes_back_without_the_headers_of_delays():
    payload = envelope("one")
    content = Outgoing("id", "", "q", payload, due=5.5).content()
    assert due_of(content) == 5.5
    headers = content.properties["application_headers"]
    death = {"queue": "canvas.delay.5000", "reason": "expired", "count": 1}
    headers |= {"x-death": [death], "x-first-death-queue": "canvas.delay.5000", "x-last-death-reason": "expired"}
    found, message_id, own = to_payload(content, "", "q")
    assert (ENVELOPE.headers_of(found), message_id, own) == (ENVELOPE.headers_of(payload), "id", True)
    headers["x-death"] = [death, {"queue": "mine", "reason": "rejected"}]
    assert ENVELOPE.headers_of(to_payload(content, "", "q")[0])["x-death"] == [{"queue": "mine", "reason": "rejected"}]
