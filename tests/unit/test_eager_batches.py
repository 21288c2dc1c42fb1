"""Batches and generators that ask for a retry, in the process that starts their run."""

import pytest

from tests.unit.eager_app import always_eager
from tests.unit.flows import fixtures, sig

app, flow = fixtures(always_eager)


@pytest.fixture
def asks(app):
    """Tasks that call ``self.retry``, each with what ``ran``."""
    ran = []

    def item(self, x, how=None):
        ran.append(x)
        if x == 2 and (len(ran) < 5 or how == "always"):
            more = {"args": {"args": [x]}, "plain": {}}.get(how, {"exc": ValueError("again")})
            retry = self.retry(countdown=600, throw=how != "returned", **more)
            return retry if how == "returned" else x
        return x

    async def item_later(self, x, how=None):
        return item(self, x, how)

    def item_pages(self):
        ran.append("page")
        yield [1]
        if len(ran) < 3:
            raise self.retry(countdown=600)
        yield [3]

    for function in (item, item_later, item_pages):
        app.task(bind=True, name=function.__name__, shared=False, max_retries=2)(function)
    return ran


@pytest.mark.parametrize("name", ["item", "item_later"])
@pytest.mark.parametrize("how", ["exc", "plain", "returned"])
def test_an_item_asks_for_a_retry_of_its_batch(app, flow, asks, name, how):
    flow.map(sig(app, name, how=how), over=[1, 2, 3], batch=3)
    assert flow.apply().get() == [1, 2, 3]
    assert asks == ([1, 2, 3, 1, 2, 3] if how == "returned" else [1, 2, 1, 2, 1, 2, 3])


@pytest.mark.parametrize(
    ("how", "error", "count"), [("always", "again", 6), ("args", "item: retry.. inside a batch", 2)]
)
def test_a_batch_that_is_not_retried_fails(app, flow, asks, how, error, count):
    flow.map(sig(app, "item", how=how), over=[1, 2, 3], batch=3)
    with pytest.raises((ValueError, TypeError), match=error):
        flow.apply().get()
    assert len(asks) == count


def test_a_generator_asks_for_a_retry(app, flow, asks):
    flow.pages(sig(app, "item_pages"), sig(app, "item"), name="work")
    run = flow.apply()
    assert [run.get(), list(run.pages("work"))] == [2, [[1], [3]]]
    assert asks == ["page", "page", "page", 1, 3]
