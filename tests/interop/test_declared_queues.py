"""``declare`` of ``before_task_publish``: the queue of the message, as Celery gives it."""

import celery
import celery.signals
import pytest
from kombu import Exchange, Queue

import canvas
import canvas.signals

QUEUES = [Queue("plain"), Queue("news", Exchange("all", type="topic"), routing_key="news.#")]


@pytest.mark.parametrize("options", [{}, {"queue": "plain"}, {"queue": "news"}, {"queue": "missing"}], ids=str)
def test_the_queue_of_a_message(options):
    found = []
    for kind, signals in ((canvas.Canvas, canvas.signals), (celery.Celery, celery.signals)):
        seen = []

        def listen(declare=None, seen=seen, **_):
            seen += [(queue.name, queue.exchange.name, queue.exchange.type, queue.routing_key) for queue in declare]

        app = kind("declared", broker="memory://", set_as_current=False, task_queues=QUEUES)
        signals.before_task_publish.connect(listen)
        try:
            app.send_task("t.sent", **options)
        finally:
            signals.before_task_publish.disconnect(listen)
            app.close()
        found.append(seen)
    assert found[0] == found[1] != []
