"""What a worker sends when a task ends passes through the ``apply_async`` of its class, and the app's ``send_task``."""

import pytest

from canvas import Canvas, Task, chain, chord, group
from canvas.signals import task_postrun, task_prerun
from canvas.testing.worker import start_worker


class Marking(Task):
    """Its calls carry a header; those that are told to are refused."""

    def apply_async(self, args=None, kwargs=None, task_id=None, **options):
        headers = {**(options.pop("headers", None) or {}), "tenant": "blue"}
        result = super().apply_async(args, kwargs, task_id, headers=headers, **options)
        if self.name == "refused":
            raise LookupError("refused")
        return result


class Sending(Canvas):
    """It notes the names of what it sends."""

    names: list

    def send_task(self, name, args=None, kwargs=None, **options):
        self.names.append((name, options.get("root_id"), options.get("parent_id")))
        return super().send_task(name, args, kwargs, **options)


def tasks_of(app):
    ran = []

    @app.task(bind=True, base=Marking, name="marked")
    def marked(self, *values):
        ran.append("marked")
        return self.request.headers.get("tenant")

    @app.task(base=Marking, name="refused")
    def refused(*values):
        ran.append("refused")

    @app.task(name="plain")
    def plain(*values):
        return list(values)

    return ran, marked, refused, plain


@pytest.fixture
def app():
    app = Canvas("own", broker="memory://own", backend="memory://own")
    with start_worker(app):
        yield app
    app.close()


def test_steps_bodies_callbacks_and_members(app):
    _, marked, _, plain = tasks_of(app)
    assert chain(plain.s(1), marked.s()).delay().get(timeout=20) == "blue"
    assert chord([plain.s(1), plain.s(2)], marked.s()).delay().get(timeout=20) == "blue"
    assert chain(plain.s(1), group(marked.s(), plain.s(), marked.s())).delay().get(timeout=20) == [
        "blue",
        [[1]],
        "blue",
    ]
    first = plain.apply_async((1,), link=marked.s())
    first.get(timeout=20)
    assert first.children[0].get(timeout=20) == "blue"
    assert chain(plain.s(1), marked.s(), plain.s()).delay().get(timeout=20) == ["blue"]


def test_retries_replacements_and_errbacks(app):
    _, marked, _, _ = tasks_of(app)

    @app.task(bind=True, base=Marking, name="again")
    def again(self):
        if self.request.retries == 0:
            self.request.headers.pop("tenant")
            raise self.retry(countdown=0.01)
        return self.request.headers.get("tenant")

    @app.task(bind=True, name="replaced")
    def replaced(self):
        return self.replace(marked.s())

    @app.task(name="fails")
    def fails():
        raise KeyError("fails")

    assert again.delay().get(timeout=20) == "blue"
    assert replaced.delay().get(timeout=20) == "blue"
    with pytest.raises(KeyError):
        fails.apply_async(link_error=marked.si().set(task_id="errback")).get(timeout=20)
    assert app.AsyncResult("errback").get(timeout=20) == "blue"


def test_an_apply_async_that_raises_ends_the_step_before_it(app):
    """As with any message that cannot be sent; what it has sent itself does not leave."""
    ran, marked, refused, plain = tasks_of(app)
    result = chain(plain.s(1), refused.s(), marked.s()).delay()
    with pytest.raises(LookupError, match="refused"):
        result.get(timeout=20)
    assert [one.state for one in (result.parent.parent, result.parent, result)] == ["FAILURE"] * 3
    body = chord([plain.s(1), plain.s(2)], refused.s()).delay()
    with pytest.raises(Exception, match="refused"):
        body.get(timeout=20)
    assert plain.delay().get(timeout=20) == []
    assert ran == []


def test_the_send_task_of_an_apps_class():
    app = Sending("own", broker="memory://sending", backend="memory://sending")
    app.names = []
    _, marked, _, plain = tasks_of(app)
    with start_worker(app):
        result = chain(plain.s(1), marked.s(), plain.s()).delay()
        assert result.get(timeout=20) == ["blue"]
    first, second = result.parent.parent, result.parent
    assert app.names == [("plain", None, None), ("marked", first.id, first.id), ("plain", first.id, second.id)]
    app.close()


class Tenants(Canvas):
    """As tenant-schemas-celery: what is sent belongs to the tenant of the context, which is that of a task that runs."""

    contexts: list

    def send_task(self, name, args=None, kwargs=None, **options):
        headers = {"tenant": self.contexts[-1], **(options.pop("headers", None) or {})}
        return super().send_task(name, args, kwargs, headers=headers, **options)


def test_a_body_belongs_to_the_tenant_of_its_header():
    """It is sent when the context of the last task of the header is gone."""
    app = Tenants("own", broker="memory://tenants", backend="memory://tenants")

    @app.task(bind=True, name="tenant")
    def tenant(self, *values):
        return [self.request.headers["tenant"], *values]

    def enter(task, **about):
        app.contexts.append(task.request.headers["tenant"])

    def leave(**about):
        app.contexts.pop()

    task_prerun.connect(enter)
    task_postrun.connect(leave)
    app.contexts = ["blue"]
    sent = [
        chord([tenant.s(), tenant.s()], tenant.s()).delay(),
        chain(tenant.s(), group(tenant.s(), tenant.s()), tenant.s(), tenant.s()).delay(),
        chord([tenant.s(), tenant.s()], chain(tenant.s(), tenant.s())).delay(),
        chord([tenant.s()], tenant.s().set(headers={"tenant": "green"})).delay(),
    ]
    app.contexts = ["public"]
    try:
        with start_worker(app):
            assert [result.get(timeout=20)[0] for result in sent] == ["blue", "blue", "blue", "green"]
    finally:
        task_prerun.disconnect(enter)
        task_postrun.disconnect(leave)
        app.close()
