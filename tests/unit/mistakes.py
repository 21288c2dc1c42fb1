"""The mistakes that people make, as functions that make them."""

import sys
from unittest import mock

from canvas import Canvas, Workflow, chain
from tests.support.redis_server import RedisServer

app = Canvas("mapp", broker="memory://mistakes", backend="memory://mistakes", set_as_current=False)


WHERE = "canvas keeps messages in Redis or RabbitMQ, and results in …"


@app.task(name="mapp.add")
def add(a, b):
    return a + b


@app.task(name="mapp.ident")
def ident(x):
    return x


@app.task(name="mapp.total")
def total(xs):
    return sum(xs)


@app.task(name="mapp.bad")
def bad():
    return object()


@app.task(name="mapp.more")
def more(x):
    return x + 1


@app.task(name="mapp.waits")
def waits():
    return add.delay(1, 2).get(timeout=3)


@app.task(name="mapp.awaits")
async def awaits():
    return await add.delay(1, 2)


def another(broker="memory://others", **settings):
    return Canvas("other", broker=broker, set_as_current=False, task_publish_retry=False, **settings)


def sent_by(**settings):
    return another(**settings).task(name="other.f")(lambda x=1: x).delay()


def node(task=None, **options):
    return Workflow("w", app).add(task or add.s(1, 2), **options)


def loop():
    steps = chain(add.s(1, 2), ident.s())
    steps.tasks.append(steps)
    return steps.delay()


def linked():
    sig = add.s(1, 2)
    sig.link(sig)
    return sig.delay()


def circle():
    flow = Workflow("w", app)
    first = flow.add(add.s(1, 2))
    second = flow.add(ident.s(first))
    flow.order(second, first)
    return flow.draw()


def with_a_wrong_password():
    with RedisServer("--requirepass", "secret") as server:
        return sent_by(broker=server.url().replace("://", "://:wrong@"))


def without_a_backend(compose):
    other = another()
    return compose(other, other.task(name="other.f")(lambda *args: 1)).apply_async()


def in_a_workflow(other, task):
    flow = Workflow("w", other)
    flow.add(task.s())
    return flow


def without_yaml():
    with mock.patch.dict(sys.modules, {"yaml": None}):  # as where it is not installed
        return add.apply_async((1, 2), serializer="yaml")


def without_self():
    return app.task(name="m.b", bind=True)(lambda: 1)


def cancelled():
    flow = Workflow("w", app)
    flow.sleep(60)
    run = flow.apply_async()
    run.cancel()
    return run


def without_an_arm():
    flow = Workflow("w", app)
    flow.branch(flow.add(ident.s("x")), {"y": ident.s(1)}, name="choice")
    run = flow.apply()
    return run.get(), [one.state for one in run.status().nodes]


async def awaited():
    return await ident.delay(1)


def foreign():
    return Workflow("v", app).add(ident.s(node()))


def part():
    flow = Workflow("w", app)
    found = flow.add(ident.s({"rows": 1}), name="total")
    flow.add(ident.s(found["summ"]))
    return flow.apply().get()


def mapped(value, literal=False):
    flow = Workflow("w", app)
    items = flow.add(ident.s(value))
    flow.map(ident.s(), over=value if literal else items, name="each")
    return flow.apply().get()


def twice():
    flow = Workflow("w", app)
    flow.add(add.s(1, 2), name="a")
    return flow.add(add.s(1, 2), name="a")


def named():
    flow = Workflow("w", app)
    flow.add(add.s(1, 2), name="rows")
    return flow.apply()["rwos"]


def started(**options):
    flow = Workflow("w", app)
    items = flow.add(ident.s([1]))
    flow.map(ident.s(), over=items, name="each")
    return flow.apply_async(**options)


def listed(queue, default="celery"):
    other = another(task_queues=["high", "low"], task_create_missing_queues=False, task_default_queue=default)
    return other.task(name="other.f")(lambda: 1).apply_async(queue=queue)


async def blocking():
    return ident.delay(1).get(timeout=0.05)
