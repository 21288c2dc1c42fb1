"""What is no signature is refused where one is expected, and the message says what to write instead."""

import asyncio

import pytest

from canvas import Canvas, chain, chord, group, shared_task
from canvas.errors import CompositionError, EncodeError

app = Canvas("misuse", broker="memory://misuse", backend="memory://misuse")


@app.task
def add(x, y=0):
    return x + y


@app.task
async def later(x):
    return x


@shared_task
def shared(x):
    return x


def function(x):
    return x


def coroutine():
    made = later(1)
    made.close()
    return made


WRONG = {
    "a task": (lambda: add, "write add.s(...)"),
    "a shared task": (lambda: shared, "write shared.s(...)"),
    "a result": (lambda: add.delay(1), "write .s(...) instead of .delay(...)"),
    "a value": (lambda: add(1, 2), "did you call the task instead of .s(...)?"),
    "None": (lambda: None, "did you call the task instead of .s(...)?"),
    "a coroutine": (coroutine, "did you call the task instead of .s(...)?"),
    "a function": (lambda: function, "decorate it with @app.task and write function.s(...)"),
    "a name": (lambda: "misuse.add", "write signature('misuse.add', args)"),
}
PLACES = {
    "a step of a chain": lambda wrong: chain(add.s(1), wrong),
    "a member of a group": lambda wrong: group(add.s(1), wrong),
    "a chord's header": lambda wrong: chord([wrong], add.s()),
    "a callback": lambda wrong: add.s(1).link(wrong),
    "an errback": lambda wrong: add.s(1).on_error(wrong),
    "a node": lambda wrong: app.Workflow().add(wrong),
}


# Celery takes a task in a header as its signature: test_tasks_in_headers.py.
REFUSED = [
    (place, wrong)
    for wrong in WRONG
    for place in PLACES
    if (place, wrong) not in (("a chord's header", "a task"), ("a chord's header", "a shared task"))
]


@pytest.mark.parametrize(("place", "wrong"), REFUSED)
def test_where_a_signature_is_expected(place, wrong):
    value, advice = WRONG[wrong]
    with pytest.raises(CompositionError) as refused:
        PLACES[place](value())
    assert advice in str(refused.value)


@pytest.mark.parametrize("wrong", [WRONG[name] for name in WRONG if name != "None"])
def test_as_a_chords_body(wrong):
    value, advice = wrong
    given = value()
    for call in (
        lambda: chord([add.s(1)], given),
        lambda: chord([add.s(1)])(given),
        lambda: chord([add.s(1)]).apply_async(kwargs={"body": given}),
        lambda: chord([add.s(1)]).apply(kwargs={"body": given}),
    ):
        with pytest.raises(CompositionError) as refused:
            call()
        assert advice in str(refused.value)


def test_a_chord_without_a_body_says_so():
    for kwargs in ({}, {"body": None}):
        with pytest.raises(CompositionError, match="a chord needs a body"):
            chord([add.s(1)]).apply_async(kwargs=kwargs)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_as_an_operand(wrong):
    value, advice = wrong
    for pipe in (lambda operand: add.s(1) | operand, lambda operand: operand | add.s(1)):
        with pytest.raises(TypeError) as refused:
            pipe(value())
        assert advice in str(refused.value)


def test_two_tasks_as_operands():
    for left in (add, shared):
        with pytest.raises(TypeError, match=rf"write {left.__name__}\.s\("):
            left | add


def test_a_callback_of_a_call():
    with pytest.raises(CompositionError, match=r"link takes signatures; .*write add\.s\("):
        add.apply_async((1,), link=add)


def test_a_result_as_an_argument():
    result = add.delay(1)
    for send in (
        lambda: add.delay(result),
        lambda: group(add.s([result])).delay(),
        lambda: asyncio.run(add.adelay(result)),
    ):
        with pytest.raises(EncodeError, match=r"pass its value, result\.get\(\), or compose both tasks"):
            send()
