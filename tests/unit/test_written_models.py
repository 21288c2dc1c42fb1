"""Pydantic models as arguments: written as plain data, or refused."""

import base64
import json
from typing import Generic, TypeVar

import pydantic
import pytest

from canvas import Canvas, chain, chord, group
from canvas.errors import EncodeError
from canvas.wire import codecs
from tests.support.messages import payloads

T = TypeVar("T")


class Item(pydantic.BaseModel):
    n: int


class Special(Item):
    more: int = 1


class Box(pydantic.BaseModel, Generic[T]):
    value: T


@pytest.fixture
def app():
    app = Canvas("models", broker="memory://models-written", backend="memory://models-written")

    @app.task(name="take", pydantic=True)
    def take(item: Item, other: Item | None = None, box: Box[int] | None = None):
        return item.n

    @app.task(name="open", pydantic=True)
    def open_box(box: Box):
        return box.value

    @app.task(name="any")
    def anything(x):
        return x

    return app


def bodies(app):
    encoded = [base64.b64decode(json.loads(payload)["body"]) for payload in payloads(app)]
    return [codecs.decode(body, "application/json", accept=["json"]) for body in encoded]


ITEM, PLAIN = Item(n=3), {"n": 3}


SENDS = [
    lambda take, app: take.s().delay(ITEM),
    lambda take, app: take.s().apply_async((ITEM,)),
    lambda take, app: take.s().apply_async(kwargs={"item": ITEM}),
    lambda take, app: take.s().clone((ITEM,)).apply_async(),
    lambda take, app: take.s(other=None).clone(kwargs={"item": ITEM, "other": ITEM}).delay(),
    lambda take, app: app.signature("take", (ITEM,)).apply_async(),
    lambda take, app: app.signature("take", kwargs={"item": ITEM}).apply_async(),
    lambda take, app: app.send_task("take", (ITEM,)),
    lambda take, app: group(take.s(), take.s())(ITEM),
    lambda take, app: group(take.s(), take.s()).apply_async(kwargs={"item": ITEM}),
    lambda take, app: chain(take.s(), take.si().clone((ITEM,))).apply_async((ITEM,)),
    lambda take, app: chord([take.s(), take.s()], take.si().clone((ITEM,))).apply_async((ITEM,)),
    lambda take, app: take.map([ITEM, ITEM]).apply_async(),
    lambda take, app: take.starmap([(ITEM, ITEM)]).apply_async(),
    lambda take, app: take.chunks([(ITEM,), (ITEM, None)], 1).apply_async(),
    lambda take, app: chain(take.si(PLAIN), take.map([ITEM])).apply_async(),
    lambda take, app: take.apply_async((ITEM,), link=app.signature("take", (), {"other": ITEM})),
    lambda take, app: take.s(ITEM, box=Box(value=1)).delay(),
    lambda take, app: take.s(ITEM, box=Box[int](value=1)).delay(),
    lambda take, app: app.tasks["open"].delay(Box(value=1)),
    lambda take, app: app.tasks["open"].delay(Box[int](value=1)),
]


@pytest.mark.parametrize("send", SENDS, ids=range(len(SENDS)))
def test_models_are_written_as_plain_data_wherever_they_come_to_a_call(app, send):
    send(app.tasks["take"], app)
    written = bodies(app)
    assert written
    assert '"n": 3' in json.dumps(written) or '"value": 1' in json.dumps(written)


def test_models_that_the_task_would_not_get_back_are_refused(app):
    for send in (
        lambda: app.tasks["take"].s().delay(Special(n=1)),
        lambda: app.tasks["any"].s().delay(ITEM),
        lambda: app.tasks["take"].map([Special(n=1)]).apply_async(),
    ):
        with pytest.raises(EncodeError, match="cannot be written as JSON"):
            send()
