"""``flow.pages`` in this process: what is refused, how it ends, and that all items of any source are worked on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas import Canvas, Workflow
from canvas.errors import CompositionError
from tests.unit.flows import sig


@pytest.fixture(scope="module")
def app():
    app = Canvas("pages", broker="memory://", backend="memory://")

    @app.task(name="ident", shared=False)
    def ident(x):
        return x

    @app.task(name="sized", shared=False)
    def sized(cursor, sizes):
        """Pages of these sizes, of numbers from 0 on."""
        at = cursor or 0
        first = sum(sizes[:at])
        return {"items": list(range(first, first + sizes[at])), "next": at + 1 if at + 1 < len(sizes) else None}

    @app.task(name="odd", shared=False)
    def odd(cursor, page):
        return page

    @app.task(name="picky", shared=False)
    def picky(x, bad):
        if x in bad:
            raise ValueError(f"bad {x}")
        return x + 1

    @app.task(name="yields", shared=False)
    def yields(pages):
        yield from pages

    @app.task(name="yields_later", shared=False)
    async def yields_later(pages):
        for page in pages:
            yield page

    fails = {"autoretry_for": (OSError,), "default_retry_delay": 0, "max_retries": 2, "shared": False}
    app.errors = []

    @app.task(name="yields_at_last", **fails)
    def yields_at_last(pages):
        yield from pages
        if app.errors:
            raise app.errors.pop()

    @app.task(name="yields_at_last_later", **fails)
    async def yields_at_last_later(pages):
        for page in pages:
            yield page
        if app.errors:
            raise app.errors.pop()

    return app


@pytest.fixture
def flow(app):
    return Workflow("flow", app)


def inner(app, *names):
    flow = Workflow("inner", app)
    for name in names:
        flow.input(name)
    flow.add(sig(app, "ident", 1))
    return flow


@pytest.mark.parametrize(
    ("compose", "text"),
    [
        (
            lambda flow, app: flow.pages(sig(app, "yields", [3]), sig(app, "ident"), start=1),
            "start: yields is a generator, which takes no cursor",
        ),
        (lambda flow, app: flow.pages(sig(app, "ident"), inner(app)), "workflow 'inner' has no input 'items'"),
        (lambda flow, app: flow.pages(sig(app, "ident"), inner(app, "items", "x")), "give its input 'x' a default"),
        (lambda flow, app: flow.pages(sig(app, "ident"), flow), "cycle: workflow 'flow' would be a node of itself"),
        (
            lambda flow, app: flow.pages(sig(app, "ident"), inner(app, "items"), batch=2),
            "batch: give it to the maps of workflow 'inner'",
        ),
        (lambda flow, app: flow.pages(3, sig(app, "ident")), "expected a signature"),
        (lambda flow, app: flow.pages(sig(app, "ident"), sig(app, "ident"), batch=0), "batch: expected a whole number"),
    ],
)
def test_refused(app, flow, compose, text):
    with pytest.raises(CompositionError, match=text):
        compose(flow, app)


def test_stock_workers_cannot(app, flow):
    flow.pages(sig(app, "sized", [1]), sig(app, "ident"), name="paged")
    with pytest.raises(CompositionError, match="paged: stock Celery workers cannot work on a source page by page"):
        flow.apply_async(target="celery")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ([1, 2], r"paged: expected its source to return \{'items': \[...\], 'next': cursor\}.*got \[1, 2\]"),
        ({"items": 3}, "expected its source to return"),
        ({"items": [], "cursor": 3}, "expected its source to return"),
        ({"items": [1], "next": 5}, "the source gave page 2 the cursor by which it was asked for: 5"),
    ],
)
def test_pages_that_are_none(app, flow, page, text):
    flow.pages(sig(app, "odd", page), sig(app, "ident"), name="paged")
    with pytest.raises(CompositionError, match=text):
        flow.apply().get()


def test_how_it_looks(app, flow):
    flow.pages(sig(app, "sized", [1]), sig(app, "ident"), name="paged")
    assert "paged ▤" in flow.draw()
    assert flow.apply().draw("mermaid")


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
    st.fixed_dictionaries({}, optional={"batch": st.integers(1, 3), "concurrency": st.integers(1, 3)}),
    st.none() | st.integers(0, 12),
)
def test_all_items_of_a_source_are_worked_on(app, sizes, options, bad):
    flow = Workflow("drawn", app)
    flow.pages(sig(app, "sized", sizes), sig(app, "picky", [bad]), name="paged", **options)
    run, items = flow.apply(), list(range(sum(sizes)))
    pages = [items[sum(sizes[:at]) : sum(sizes[: at + 1])] for at in range(len(sizes))]
    good = next((at for at, page in enumerate(pages) if bad in page), len(pages))
    assert list(run.pages("paged")) == [[item + 1 for item in page] for page in pages[:good]]
    if good == len(pages):
        assert run.get() == len(items)
    else:
        with pytest.raises(ValueError, match=f"bad {bad}"):
            run.get()


@pytest.mark.parametrize("source", ["yields", "yields_later"])
@pytest.mark.parametrize("pages", [[], [[]], [[1]], [[1, 2], [], [3]]], ids=str)
def test_pages_of_a_generator(app, flow, source, pages):
    given = flow.add(sig(app, "ident", pages), name="given")
    flow.pages(sig(app, source, given), sig(app, "picky", []), name="paged")
    run = flow.apply()
    assert run.get() == sum(map(len, pages))
    assert list(run.pages("paged")) == [[item + 1 for item in page] for page in pages or [[]]]


@pytest.mark.parametrize("source", ["yields_at_last", "yields_at_last_later"])
@pytest.mark.parametrize(("errors", "left"), [(2, 0), (4, 1)])
def test_a_generator_is_retried_as_its_task_says(app, flow, source, errors, left):
    app.errors[:] = [OSError(f"{number}") for number in range(errors)]
    flow.pages(sig(app, source, [[1], [2, 3]]), sig(app, "ident"), name="paged")
    run = flow.apply()
    assert len(app.errors) == left
    if left:
        with pytest.raises(OSError, match="1"):
            run.get()
    else:
        assert run.get() == 3


def test_a_generator_that_yields_no_list(app, flow):
    flow.pages(sig(app, "yields", [[1], 3]), sig(app, "ident"))
    with pytest.raises(CompositionError, match="page 2: expected the generator to yield a list of items; got 3"):
        flow.apply().get()
