"""Types of tasks and results that programs write in annotations are evaluated when their modules are loaded."""

from typing import Any, Generic, ParamSpec, TypeVar

import pytest

from canvas import AsyncResult, Canvas, EagerResult, Signature, Task
from canvas.integrations.django import DjangoTask

P, R = ParamSpec("P"), TypeVar("R")


@pytest.mark.parametrize("make", [
    lambda: Task[[int, str], int], lambda: Task[P, R], lambda: Task[..., Any], lambda: Task[int], lambda: Task[R],
    lambda: DjangoTask[[int], int], lambda: DjangoTask[P, R], lambda: DjangoTask[int], lambda: AsyncResult[int],
    lambda: EagerResult[dict[str, int]], lambda: AsyncResult[R], lambda: Signature[int],
])  # fmt: skip
def test_annotations(make):
    assert make() is not None


def test_generic_classes_of_tasks():
    class OfModel(Task[P, R], Generic[P, R]):
        abstract = True

    class Short(Task[R]):
        abstract = True

    app = Canvas("types", broker="memory://", set_as_current=False)

    @app.task(base=OfModel, name="long")
    def long(x):
        return x

    @app.task(base=Short, name="short")
    def short(x):
        return x

    assert (long(2), short(3), long.s(1).args, isinstance(long, Task)) == (2, 3, (1,), True)
    app.close()


def test_generic_classes_of_results():
    class Mine(AsyncResult[int]):
        pass

    assert Mine("1").id == "1"
