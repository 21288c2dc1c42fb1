"""Tasks that return values, and tasks that fail."""

import json
import os
from decimal import Decimal

from tests.support import odd
from tests.support.models import Item, Order
from tests.support.tasks.kit import Kit


def as_text(value):
    return f"[{', '.join(map(as_text, value))}]" if isinstance(value, list) else str(value)


def define(kit: Kit):
    task, note = kit.task, kit.note
    kept = []

    @task(name="t.add")
    def add(x, y):
        return x + y

    @task(name="t.mul")
    def mul(x, y):
        return x * y

    @task(name="t.ident")
    def ident(x):
        return x

    @task(name="t.unwritable")
    def unwritable():
        return {1}

    @task(name="t.tsum")
    def tsum(values):
        return sum(values)

    @task(name="t.rec")
    def rec(tag, *args, **kwargs):
        return [tag, list(args), kwargs]

    @task(name="t.long_text")
    def long_text(size):
        return "x" * size

    @task(name="t.noted")
    def noted(value, key):
        note(key, repr(value))
        return value

    @task(name="t.fail")
    def fail(*args):
        raise ValueError("boom", 42)

    @task(name="t.odd")
    def odd_(kind):
        return {**odd.BREAKS_OFF, **odd.FAILS}[kind]()

    @task(name="t.upto")
    def upto(n):
        return list(range(n))

    @task(name="t.parts")
    def parts(x):
        return {"x": x, "pair": [x, x + 1]}

    @task(name="t.kinds")
    def kinds(value):
        return [type(value).__name__, value]

    @task(name="t.price")
    def price():
        return Decimal("1.50")

    @task(name="t.quiet", ignore_result=True)
    def quiet(key):
        note(key)

    @task(name="t.above")
    def above(value, limit):
        return value > limit

    @task(name="t.memory")
    def memory(mib):
        kept.append(bytearray(mib << 20))
        return os.getpid()

    @task(name="t.pid")
    def pid():
        return os.getpid()

    @task(name="t.order", pydantic=True)
    def order(item: Item, count: int = 1, extra: Item | None = None) -> Order:
        assert isinstance(item, Item)
        return Order(item=item, total=item.price * count + (extra.price if extra else 0))

    @task(name="t.order_total", bind=True, pydantic=True)
    def order_total(self, order: Order):
        return order.total

    @task(name="t.sends_one")
    def sends_one(value):
        return ident.delay(value)

    @task(name="t.item")
    def item(about):
        tag, run, fails = about
        note(run, json.dumps({"tag": tag, "args": [], "id": None, "root": None, "parent": None, "group_index": None}))
        if fails:
            raise ValueError(tag)
        return tag

    @task(name="t.step", bind=True)
    def step(self, *args, tag, run, fails=False, **more):
        request = self.request
        found = {
            "tag": tag,
            "args": [*args, more],
            "id": request.id,
            "root": request.root_id,
            "parent": request.parent_id,
        }
        note(run, json.dumps({**found, "group_index": request.group_index}))
        if fails:
            raise ValueError(tag)
        return f"{tag}({', '.join(map(as_text, [*args, *sorted(more.items())]))})"

    @task(name="t.step_failed", bind=True)
    def step_failed(self, task_id, tag, run):
        request = self.request
        found = {"tag": tag, "args": [task_id], "id": request.id, "root": request.root_id, "parent": request.parent_id}
        note(run, json.dumps({**found, "group_index": request.group_index}))
