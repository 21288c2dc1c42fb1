"""Tasks whose arguments and results are pydantic models, on all four pairings."""

import pytest

from canvas import Canvas
from tests.support.models import Item, Order


def test_models_go_and_come(pair):
    task = pair.app.tasks["t.order"]
    found = task.delay(Item(name="x", price=2.5), count=2, extra=Item(name="y", price=1)).get(timeout=20)
    assert found == {"item": {"name": "x", "price": 2.5}, "total": 6.0}


def test_plain_data_becomes_models(pair):
    assert pair.run(pair.s("order", {"name": "x", "price": 2}) | pair.s("order_total")) == 2.0


def test_what_is_no_such_model_is_the_tasks_failure(pair):
    result = pair.app.tasks["t.order"].delay({"name": "x"})
    assert pair.bench.wait_state(pair.app, result.id) == "FAILURE"
    assert pair.record(result.id)["result"]["exc_type"] == "ValidationError"


def test_models_in_workflows(pairs):
    """Celery's client sends them only as arguments of the call itself."""
    for worker in ("canvas", "celery"):
        pair = next(pair for pair in pairs if (pair.client, pair.worker) == ("canvas", worker))
        header = [pair.s("order", Item(name="x", price=price)) | pair.s("order_total") for price in (1, 2)]
        flow = pair.lib.chord(header, pair.s("tsum")) | pair.si(
            "order_total", Order(item=Item(name="", price=0), total=7)
        )
        assert pair.run(flow) == 7.0


def test_strictness_context_and_dumping():
    app = Canvas("models", broker="memory://models", backend="memory://models", task_always_eager=True)

    @app.task(pydantic=True, pydantic_strict=True)
    def strict(item: Item):
        return item.price

    @app.task(pydantic=True, pydantic_dump_kwargs={"exclude": {"total"}})
    async def partly(item: Item) -> Order | None:
        return Order(item=item, total=1)

    assert strict.delay(Item(name="a", price=1.0)).get() == 1.0
    with pytest.raises(ValueError, match="valid string"):
        strict.delay({"name": 7, "price": 1.0}).get()
    assert partly.delay({"name": "a", "price": 1}).get() == {"item": {"name": "a", "price": 1.0}}
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'item'"):
        strict.delay()
