import time

import plugged
from asgi_correlation_id import correlation_id
from celery import chain, group
from celery_dyrygent.workflows import Workflow
from celery_once import AlreadyQueued
from celery_progress.backend import Progress


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


first = plugged.once.delay(1)
try:
    plugged.once.delay(1)
except AlreadyQueued:
    assert first.get(timeout=30) == 1
else:
    raise AssertionError("celery-once has let a second call pass")
assert plugged.once.delay(1).get(timeout=30) == 1
print("celery-once")

first, second = plugged.single.delay(1), plugged.single.delay(1)
assert first.id == second.id
assert first.get(timeout=30) == 1
until(lambda: plugged.single.delay(1).id != first.id)
print("celery-singleton")

correlation_id.set("web-request-1")
assert plugged.correlation.delay().get(timeout=30) == "web-request-1"
print("asgi-correlation-id")

running = plugged.progress.delay()
until(lambda: Progress(running).get_info()["progress"].get("percent") == 25.0)
assert running.get(timeout=30) == "done"
assert Progress(running).get_info()["success"]
print("celery-progress")

workflow = Workflow()
workflow.add_celery_canvas(
    chain(plugged.add.si(1, 2), group(plugged.add.si(n, n) for n in (1, 2)), plugged.add.si(3, 3))
)
result = workflow.apply_async()
until(result.ready)
assert result.state == "SUCCESS"
print("celery-dyrygent")
