"""Subclasses of composites that are registered under a ``subtask_type`` of their own."""

import json
import uuid

import pytest

from canvas import Canvas, Signature, chain, chord, group, signature
from canvas.drivers.ports.values import Lease


@Signature.register_type()
class own_group(group):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.subtask_type = "own_group"


@Signature.register_type()
class deeper_group(own_group):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.subtask_type = "deeper_group"


@Signature.register_type()
class own_chord(chord):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.subtask_type = "own_chord"


@pytest.fixture
def app():
    name = f"memory://{uuid.uuid4()}"
    app = Canvas("own", broker=name, backend=name)
    app.task(name="o.add", shared=False)(lambda x, y=0: x + y)
    app.task(name="o.total", shared=False)(sum)
    yield app
    app.close()


def shapes(app):
    add, total = app.tasks["o.add"], app.tasks["o.total"]
    return {
        "group": (own_group([add.s(1, 2), add.s(3, 4)]), [3, 7]),
        "a subclass of a subclass": (deeper_group([add.s(1, 2)]), [3]),
        "chord": (own_chord([add.s(1, 2), add.s(3)], total.s()), 6),
        "header": (chord(own_group([add.s(1, 2), add.s(3)]), total.s()), 6),
        "body": (chord([add.s(1, 2)], own_group([total.s()])), [3]),
        "in a chain": (chain(add.s(1, 1), own_group([add.s(1), add.s(2)]), total.s()), 7),
        "pipe": (own_group([add.s(1, 2)]) | total.s(), 3),
        "nested": (group([own_group([add.s(1, 2), add.s(3)]), add.s(4)]), [3, 3, 4]),
    }


@pytest.mark.parametrize(
    "name", ["group", "a subclass of a subclass", "chord", "header", "body", "in a chain", "pipe", "nested"]
)
def test_they_are_composed_as_what_they_are_subclasses_of(app, name):
    sig, value = shapes(app)[name]
    assert sig.apply().get() == value
    read = signature(json.loads(json.dumps(sig)), app=app)
    assert (type(read), read.apply().get()) == (type(sig), value)
    assert type(sig.clone()) is type(sig)
    assert sig.apply_async().id
    sent = app.driver.broker.lease(Lease("worker", ("celery",), 100))
    assert sent
    assert {json.loads(one.payload)["headers"]["task"] for one in sent} <= {"o.add", "o.total"}
