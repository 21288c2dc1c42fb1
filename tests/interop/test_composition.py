"""The same expression, written with Celery's canvas and with ours, is the same value (semantics.md §1.1)."""

import itertools
import json

import celery
import celery.canvas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import canvas


class Writer:
    """Writes expressions in one of the two libraries."""

    def __init__(self, library, app):
        self.library = library
        self.app = app

    def task(self, name, *args, **options):
        return self.library.signature(f"t.{name}", args, app=self.app, options=options)

    def chain(self, *members):
        return self.library.chain(*members)

    def group(self, *members):
        return self.library.group(list(members))

    def chord(self, header, body):
        return self.library.chord(header, body)


OURS = Writer(canvas, canvas.Canvas("compose", broker="memory://", backend="memory://"))
THEIRS = Writer(celery, celery.Celery("compose", broker="memory://"))

OPERANDS = {
    "task": lambda w: w.task("a", 1),
    "chain": lambda w: w.chain(w.task("x"), w.task("y")),
    "empty chain": lambda w: w.library.chain(),
    "chain with errback": lambda w: w.chain(w.task("x"), w.task("y")).on_error(w.task("e")),
    "chain to group": lambda w: w.chain(w.task("x"), w.group(w.task("p"), w.task("q"))),
    "chain to chord": lambda w: w.chain(w.task("x"), w.chord([w.task("p"), w.task("q")], w.task("b"))),
    "chord to group": lambda w: w.chain(
        w.group(w.task("h"), w.task("i")), w.task("b"), w.group(w.task("p"), w.task("q"))
    ),
    "group": lambda w: w.group(w.task("p"), w.task("q")),
    "group of one": lambda w: w.group(w.task("p")),
    "empty group": lambda w: w.group(),
    "chord": lambda w: w.chord([w.task("h"), w.task("i")], w.task("b")),
}


def shape(sig):
    """A signature as plain data, whatever library it is of."""
    if isinstance(sig, dict) and "task" not in sig:
        return {key: shape(value) for key, value in sig.items()}
    if isinstance(sig, dict):
        kwargs = {key: shape(value) for key, value in sig["kwargs"].items()}
        options = {key: shape(value) for key, value in sig["options"].items()}
        kind = sig["subtask_type"]
        if kind == "chord" and isinstance(kwargs["header"], dict):
            kwargs["header"] = kwargs["header"]["kwargs"]["tasks"]
        return {"task": sig["task"], "args": list(sig["args"]), "kwargs": kwargs, "options": options, "kind": kind,
                "immutable": sig["immutable"]}  # fmt: skip
    if isinstance(sig, list | tuple) or type(sig).__name__ == "_regen":
        return [shape(item) for item in sig]
    return sig


@pytest.mark.parametrize(("left", "right"), list(itertools.product(OPERANDS, OPERANDS)))
def test_every_pair_of_operands(left, right):
    ours = OPERANDS[left](OURS) | OPERANDS[right](OURS)
    theirs = OPERANDS[left](THEIRS) | OPERANDS[right](THEIRS)
    assert shape(ours) == shape(theirs)


@pytest.mark.parametrize(("left", "right"), list(itertools.product(OPERANDS, OPERANDS)))
def test_chain_of_two(left, right):
    ours = OURS.chain(OPERANDS[left](OURS), OPERANDS[right](OURS))
    theirs = THEIRS.chain(OPERANDS[left](THEIRS), OPERANDS[right](THEIRS))
    assert shape(ours) == shape(theirs)


@pytest.mark.parametrize(("left", "right"), list(itertools.product(OPERANDS, OPERANDS)))
def test_composing_changes_neither_operand(left, right):
    one, two = OPERANDS[left](OURS), OPERANDS[right](OURS)
    before = json.dumps([one, two])
    _ = one | two
    assert json.dumps([one, two]) == before


expressions = st.recursive(
    st.sampled_from(["a", "b", "c"]).map(lambda name: ("task", name)),
    lambda inner: st.one_of(
        st.tuples(st.just("pipe"), inner, inner),
        st.tuples(st.just("chain"), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(st.just("group"), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(st.just("chord"), st.lists(inner, min_size=1, max_size=3), inner),
    ),
    max_leaves=8,
)


def write(writer, expression):
    match expression:
        case ("task", name):
            return writer.task(name)
        case ("pipe", left, right):
            return write(writer, left) | write(writer, right)
        case ("chain", members):
            return writer.chain(*[write(writer, m) for m in members])
        case ("group", members):
            return writer.group(*[write(writer, m) for m in members])
        case ("chord", header, body):
            return writer.chord([write(writer, m) for m in header], write(writer, body))


@pytest.mark.random
@settings(max_examples=300, deadline=None)
@given(expressions)
def test_random_expressions(expression):
    assert shape(write(OURS, expression)) == shape(write(THEIRS, expression))


def test_repr_reads_as_celerys():
    def text(w):
        return repr(w.task("a", 1) | w.group(w.task("b"), w.task("c", 2)) | w.task("d"))

    assert text(OURS) == text(THEIRS)
