"""Arguments that Celery's calls of composites and tasks take by position."""

import asyncio

import pytest

from canvas import Canvas, chord, group

app = Canvas("positional", broker="memory://positional", backend="memory://positional", set_as_current=False)


@app.task(name="ident", bind=True)
def ident(self, x, **kwargs):
    return [x, self.request.id, self.request.retries, self.request.headers, kwargs]


@app.task(name="fails")
def fails(*args):
    raise ValueError("boom")


@app.task(name="noted", bind=True)
def noted(self, *args):
    calls.append(args[-1])


calls = []


def test_task_apply():
    calls.clear()
    done = ident.apply((1,), {"k": 2}, noted.si("link"), None, "an id", 3, None, None, None, {"h": 4})
    assert (done.id, done.get()) == ("an id", [1, "an id", 3, {"h": 4}, {"k": 2}])
    failed = fails.apply((), {}, None, noted.si("errback"))
    assert (failed.state, calls) == ("FAILURE", ["link", "errback"])
    with pytest.raises(ValueError, match="boom"):
        fails.apply((), {}, None, None, None, 0, True)


def test_group_apply_async():
    sent = group(ident.s(1)).apply_async((), {"k": 2}, False, None, None, None, task_id="g")
    assert (sent.id, len(sent)) == ("g", 1)
    for at in range(2):
        links = [None, None]
        links[at] = noted.s()
        with pytest.raises(TypeError, match="Cannot add link to group"):
            group(ident.s(1)).apply_async((), {}, True, None, *links)
        with pytest.raises(TypeError, match="Cannot add link to group"):
            asyncio.run(group(ident.s(1)).aapply_async((), {}, True, None, *links))


def test_chord_apply_async():
    assert chord([ident.s(1)], ident.s()).apply_async((), {"k": 1}, "the body's").id == "the body's"
    with pytest.warns(UserWarning, match="'producer' has no meaning"):
        chord([ident.s(1)], ident.s()).apply_async((), {}, None, object())


def test_chord_apply():
    whole = chord([ident.s(1)])
    assert whole.apply((), {}, True, ident.s()).get()[0][0][0] == 1
    assert chord([fails.s()], ident.s()).apply((), {}, False).state == "FAILURE"


@pytest.mark.parametrize("given", [ident.s(), dict(ident.s())], ids=["signature", "wire form"])
def test_a_body_among_the_keyword_arguments(given):
    plan = app.plan(chord([ident.s(1)]), (), {"body": given, "k": 3})
    assert plan.calls[0].kwargs == {"k": 3}
    assert plan.calls[0].options["chord"]["task"] == "ident"
    assert chord([ident.s(1)], noted.s()).apply(kwargs={"body": given}).get()[0][0][0] == 1
