"""The queues of ``task_queues``: a dict takes the options of kombu's Queue, and ``inspect active_queues`` shows them."""

import kombu
import pytest

from canvas import Canvas
from canvas.config.queue_forms import attributes_of
from canvas.producer.routing import router_of
from canvas.worker.control.replies import queue as shown


@pytest.mark.parametrize("options", [
    {}, {"max_priority": 10}, {"expires": 30, "message_ttl": 1.5, "max_length": 7, "max_length_bytes": 9},
    {"queue_arguments": {"x-queue-type": "quorum"}, "max_length": 5},
])  # fmt: skip
def test_a_dict_is_read_as_kombus_queue_of_the_same_options(options):
    forms = {"q": options}, [{"name": "q", **options}], [kombu.Queue("q", routing_key="q", **options)]
    found, listed, expected = (router_of(Canvas("a", task_queues=one).conf).consumed() for one in forms)
    assert found == listed == expected
    (queue,) = found
    answer, theirs = shown(queue), kombu.Queue("q", **options).as_dict()
    assert {name: answer[name] for name in attributes_of(None)} == {name: theirs[name] for name in attributes_of(None)}
    assert answer["queue_arguments"] == queue.arguments
