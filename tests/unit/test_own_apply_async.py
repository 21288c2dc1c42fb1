"""Tasks whose class has an apply_async of its own: which calls of theirs it sends."""

import pytest

import canvas
from canvas import Canvas, Task
from canvas.model.settlement import Settlement


@pytest.fixture
def app():
    app = Canvas("names", broker="memory://names", backend="memory://names")
    yield app
    app.close()


@pytest.fixture
def marking(app):
    class Marking(Task):
        def apply_async(self, args=None, kwargs=None, **options):
            options.setdefault("headers", {})["marked"] = self.name
            return super().apply_async(args, kwargs, **options)

    @app.task(base=Marking)
    def add(x, y=0):
        return x + y

    return add


def sent(app):
    """The headers of what has been sent, which is gone then."""
    deliveries = app.driver.broker.lease(canvas.drivers.ports.values.Lease("w", ["celery"], 10))
    app.driver.settler.settle([Settlement(one) for one in deliveries])
    return [app.driver.broker.codec.headers_of(one.payload) for one in deliveries]


def marks(app):
    return [headers.get("marked") for headers in sent(app)]


def test_a_tasks_own_apply_async_sends_its_signatures(app, marking):
    result = marking.s(1).apply_async((2,), countdown=1)
    assert isinstance(result, canvas.AsyncResult)
    marking.delay(1)
    frozen = marking.s(3)
    assert frozen.freeze().id == frozen.apply_async().id
    assert marks(app) == [marking.name] * 3


def test_a_tasks_own_apply_async_sends_its_places_in_composites(app, marking):
    plain = app.task(name="plain")(lambda x: x)
    canvas.group(marking.s(1), plain.s(2), marking.s(3)).apply_async()
    assert sorted(marks(app), key=str) == [None, marking.name, marking.name]
    chain = (marking.s(1) | plain.s()).apply_async()
    assert chain.parent is not None
    chord = canvas.chord([marking.s(1), plain.s(2)], plain.s()).apply_async()
    assert len(chord.parent.results) == 2
    assert marks(app) == [marking.name, None, marking.name]


async def test_awaited_sending_goes_the_same_way(app, marking):
    await canvas.group(marking.s(1), marking.s(3)).aapply_async()
    await marking.s(1).aapply_async((2,))
    await marking.adelay(1)
    assert marks(app) == [marking.name] * 4


def test_a_chain_of_one_has_the_result_that_its_task_gave(app, marking):
    marking.ignore_result = True
    assert canvas.chain(marking.s(1)).apply_async().ignored
    marking.ignore_result = False
    assert not canvas.chain(marking.s(1)).apply_async().ignored
    assert len(marks(app)) == 2


async def test_what_a_task_sends_by_itself_belongs_to_it(app, marking):
    @app.task(bind=True)
    def outer(self):
        canvas.group(marking.s(1), marking.s(2)).apply_async()
        return len(self.request.children)

    @app.task(bind=True)
    async def awaited(self):
        await canvas.group(marking.s(1), marking.s(2)).aapply_async()

    assert outer.apply(task_id="root").get() == 1
    awaited.apply(task_id="root")
    assert [(one["root_id"], one["parent_id"]) for one in sent(app)] == [("root", "root")] * 4


def test_an_own_apply_async_may_change_arguments_that_do_not_fit(app):
    """Its arguments are checked once it has sent them on, in composites as alone."""

    class Reducing(Task):
        def apply_async(self, args=None, kwargs=None, **options):
            return super().apply_async(args[:1], {}, **options)

    @app.task(base=Reducing)
    def one(x):
        return x

    def fit(sig):
        return sig.apply_async() is not None

    assert fit(one.s(1, label="a")) and fit(canvas.group(one.s(1, 2), one.s(3, label="b")))
    assert len(sent(app)) == 3
    with pytest.raises(TypeError, match="missing"):
        canvas.group(one.s(), one.s()).apply_async()


def test_an_own_send_task_sends_every_chunk():
    class Own(Canvas):
        def send_task(self, name, args=None, kwargs=None, **options):
            return super().send_task(name, args, kwargs, **{**options, "headers": {"marked": name}})

    app = Own("names", broker="memory://names", backend="memory://names")
    add = app.task(name="add")(lambda x, y: x + y)
    result = add.chunks([(1, 2), (3, 4), (5, 6)], 2).apply_async()
    assert len(result.results) == 2
    assert marks(app) == ["celery.starmap"] * 2
    app.close()


def test_built_in_tasks_have_the_base_class_of_the_app():
    """Receivers of signals may use what the class adds."""

    class Base(Task):
        tenant = "blue"

    app = Canvas("names", broker="memory://names", backend="memory://names", task_cls=Base)
    app.finalize()
    assert {app.tasks[name].tenant for name in ("celery.map", "celery.starmap", "celery.chunks")} == {"blue"}
    assert app.task(lambda x: x + 1, name="more").map([1, 2]).apply().get() == [2, 3]
    app.close()
