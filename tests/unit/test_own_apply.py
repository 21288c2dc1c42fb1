"""Tasks whose class has an ``apply`` of its own: Celery calls it for each of their runs in this process."""

import pytest

from canvas import Canvas, Task, chain, chord, group


class Own(Task):
    def apply(self, args=None, kwargs=None, *more, **options):
        self.app.applied.append(self.name)
        headers = {**(options.pop("headers", None) or {}), "tenant": "blue"}
        return super().apply(args, kwargs, *more, headers=headers, **options)


class Sent(Own):
    def apply_async(self, args=None, kwargs=None, **options):
        self.app.applied.append(f"{self.name} sent")
        return super().apply_async(args, kwargs, **options)


@pytest.fixture(params=[False, True], ids=["apply", "always_eager"])
def app(request):
    app = Canvas("own", broker="memory://own", backend="memory://own", task_always_eager=request.param)
    app.applied = []
    yield app
    app.close()


@pytest.fixture
def tenant(app):
    @app.task(bind=True, base=Own, name="tenant")
    def tenant(self, *values):
        return self.request.headers.get("tenant")

    return tenant


def test_composites_and_their_parts(app, tenant):
    assert tenant.s(1).apply((2,)).get() == "blue"
    assert chain(tenant.s(1), tenant.s(2)).apply().get() == "blue"
    assert group(tenant.s(1), tenant.s(2)).apply().get() == ["blue", "blue"]
    assert chord([tenant.s(1), tenant.s(2)], tenant.s()).apply().get() == "blue"
    assert app.applied == ["tenant"] * 8


def test_retries_and_errbacks(app, tenant):
    @app.task(bind=True, base=Own, name="again")
    def again(self):
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return self.request.headers.get("tenant")

    @app.task(name="fails")
    def fails():
        raise KeyError("fails")

    assert again.apply().get() == "blue"
    assert fails.apply(link_error=tenant.si()).state == "FAILURE"
    assert app.applied == ["again", "again", "tenant"]


def test_calls_and_callbacks_that_are_always_eager(app):
    app.conf.task_always_eager = True
    sent = app.task(lambda *values: len(values), base=Sent, name="sent")
    assert sent.delay(1).get() == 1
    assert sent.apply_async((1, 2), link=sent.s()).get() == 2
    assert app.applied == ["sent sent", "sent"] * 3
