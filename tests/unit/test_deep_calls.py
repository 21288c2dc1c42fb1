"""Functions that need more calls than Python allows are called again with room for them."""

import sys
from threading import Barrier, Thread

import pytest

from canvas import Canvas
from canvas.errors import CompositionError
from canvas.graph.compile import compile
from canvas.primitives.chord import chord
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.worker.settlement.deep_calls import with_deep_calls


def nested(depth):
    return nested(depth - 1) + 1 if depth else 0


def test_a_deep_call_returns():
    usual = sys.getrecursionlimit()
    with pytest.raises(RecursionError):
        nested(usual)
    assert with_deep_calls(lambda: nested(usual)) == usual
    assert sys.getrecursionlimit() == usual


def test_endless_calls_are_an_error():
    usual = sys.getrecursionlimit()
    with pytest.raises(RecursionError):
        with_deep_calls(lambda: nested(10**6))
    assert sys.getrecursionlimit() == usual


def test_the_usual_limit_returns_after_the_last_of_several_threads():
    usual, both, depths = sys.getrecursionlimit(), Barrier(2), []

    def deep():
        nested(usual)
        both.wait(20)
        return nested(usual)

    threads = [Thread(target=lambda: depths.append(with_deep_calls(deep))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert depths == [usual, usual]
    assert sys.getrecursionlimit() == usual


def test_compiling_chords_in_each_other_copies_none_of_them_for_each_level(monkeypatch):
    app, clones = Canvas("deep"), []
    body = Signature("t", app=app)
    for _ in range(30):
        body = chord([Signature("h", app=app)], body, app=app)
    plan = compile(body, new_id=iter(map(str, range(10_000))).__next__)
    received = maybe_signature(plan.calls[0].options["chord"], app)
    clone = Signature.clone
    monkeypatch.setattr(Signature, "clone", lambda self, *a, **k: clones.append(self) or clone(self, *a, **k))
    compile(received, ([1],), new_id=iter(map(str, range(20_000, 30_000))).__next__)
    assert len(clones) < 30


async def test_what_cannot_be_compiled_says_so():
    app = Canvas("deep", broker="memory://", backend="memory://")
    body = Signature("t", app=app)
    for _ in range(500):
        body = chord([Signature("h", app=app)], body, app=app)
    with pytest.raises(CompositionError, match=r"^celery\.chord: its signatures are nested too deeply"):
        body.apply_async()
    with pytest.raises(CompositionError, match=r"^celery\.chord: its signatures are nested too deeply"):
        await body.aapply_async()
    with pytest.raises(CompositionError, match=r"^celery\.chord: its signatures are nested too deeply"):
        app.plan(body)
    with pytest.raises(RecursionError):  # a worker that settles a task sees it, and plans again with a deeper stack
        app.sender.plan(body, (), {}, {})
