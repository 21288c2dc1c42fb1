"""A serializer that a program registers for the content type of JSON reads all JSON, as with kombu."""

import pytest

from tests.as_celery.test_names import run
from tests.as_celery.test_without_kombu import HIDDEN

PROGRAM = """
import json
from celery import Celery, chord
from celery.contrib.testing.worker import start_worker
from kombu.serialization import register

class Part:
    def __init__(self, number):
        self.number = number

def write(value):
    return json.dumps(value, default=lambda part: {"part": part.number})

def read(text):
    return json.loads(text, object_hook=lambda found: Part(found["part"]) if set(found) == {"part"} else found)

register("parts", write, read, content_type="application/json", content_encoding="utf-8")
names = SETTINGS
app = Celery("own", broker="memory://own", backend="memory://own")
app.conf.update(task_serializer="parts", result_serializer="parts", **names)

@app.task
def make(number):
    return Part(number)

@app.task
def add(*parts):
    return sum(part.number for part in parts)

@app.task(bind=True)
def again(self, part):
    if not self.request.retries:
        raise self.retry(args=(Part(part.number + 1),), countdown=0)
    return part

with start_worker(app, perform_ping_check=False):
    found = [
        make.delay(1).get(timeout=20), add.delay(Part(2)).get(timeout=20), again.delay(Part(3)).get(timeout=20),
        (make.s(4) | add.s(Part(5))).delay().get(timeout=20),
        chord([make.s(6), make.s(7)], app.task(name="all")(lambda parts: add.run(*parts)).s())().get(timeout=20),
    ]
print(json.dumps([one.number if type(one) is Part else one for one in found]))
"""


@pytest.mark.parametrize("way", ["import canvas.as_celery", HIDDEN], ids=["with kombu", "without"])
@pytest.mark.parametrize("names", [{"accept_content": ["parts"]}, {}], ids=["by its name", "by json"])
def test_it_writes_and_reads(way, names):
    assert run(way + PROGRAM.replace("SETTINGS", repr(names))) == [1, 2, 4, 9, 13]
