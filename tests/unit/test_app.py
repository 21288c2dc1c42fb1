"""Tasks, names, registration, sending: what an app does without a server."""

import sys

import pytest

from canvas import Canvas, Task, current_app, shared_task
from canvas.app.registry import task_name
from canvas.caller_warnings import FixupWarning
from canvas.errors import AlreadyRegistered, ConfigurationError, NotRegistered


@pytest.fixture
def app():
    app = Canvas("shop", broker="memory://app", backend="memory://app")
    app.driver.admin.purge("celery")
    return app


def test_names_follow_celerys_rules(app):
    @app.task
    def pay():
        """Pay."""

    assert pay.name == f"{__name__}.pay"
    assert pay.__doc__ == "Pay."
    assert task_name("shop", "pay", "__main__") == "shop.pay" or task_name("shop", "pay", None)
    assert app.gen_task_name("f", "mod") == "mod.f"


def test_a_class_of_apps_names_shared_tasks_too():
    class Short(Canvas):
        def gen_task_name(self, name, module):
            return f"short.{name}"

    app = Short("short", broker="memory://", backend="memory://")

    @shared_task
    def pay():
        return 5

    assert (pay.name, pay.apply().get(), "short.pay" in app.tasks) == ("short.pay", 5, True)


def test_options_and_binding(app):
    @app.task(bind=True, name="bound", queue="q", priority=3, ignore_result=True, max_retries=7)
    def bound(self, x):
        return self.name, x

    assert bound(1) == ("bound", 1)
    assert (bound.queue, bound.max_retries, bound.acks_late) == ("q", 7, app.conf.task_acks_late)
    app.finalize()
    assert bound.acks_late is True
    assert bound.attribute_options() == {"queue": "q", "priority": 3, "serializer": "json", "ignore_result": True}


def test_a_base_class_and_a_class_of_ones_own(app):
    class Base(Task):
        greeting = "hi"

    @app.task(base=Base, name="based")
    def based():
        return 1

    class Own(Task):
        name = "own"

        def run(self, x):
            return x * 2

    app.register_task(Own)
    assert isinstance(based, Base)
    assert based.greeting == "hi"
    assert app.tasks["own"](4) == 8


def test_two_functions_of_one_name_are_refused(app):
    app.task(name="n")(lambda: 1)
    with pytest.raises(AlreadyRegistered, match="'n' is taken"):

        @app.task(name="n")
        def other():
            """Another function."""


def test_unknown_names(app):
    with pytest.raises(NotRegistered, match="nothing"):
        app.tasks["nothing"]
    with pytest.raises(KeyError):
        app.tasks["nothing"]


def test_shared_tasks_belong_to_every_app(app):
    @shared_task(name="shared.one")
    def one():
        return 1

    later = Canvas("later", broker="memory://later", backend="memory://later")
    assert app.tasks["shared.one"]() == later.tasks["shared.one"]() == one() == 1
    assert one.name == "shared.one"
    assert current_app() is later
    assert one.s().app is later


def test_unknown_drivers_name_the_known_ones():
    for url in ("amqp://", "sqs://x", "nonsense"):
        app = Canvas("bad", broker=url, backend="memory://")
        with pytest.raises(ConfigurationError, match="redis"):
            app.send_task("x")


def test_what_is_assigned_stays_when_settings_are_loaded():
    app = Canvas("assigned", set_as_current=False)
    app.conf.task_default_queue = "mine"
    app.conf.update(timezone="Europe/Oslo")
    app.config_from_object({"task_default_queue": "theirs", "task_always_eager": True})
    assert (app.conf.task_default_queue, app.conf.timezone, app.conf.task_always_eager) == ("mine", "Europe/Oslo", True)
    app.add_defaults({"task_default_queue": "no", "result_expires": 5})
    app.config_from_object({})
    assert (app.conf.task_default_queue, app.conf.result_expires) == ("mine", 5)


def test_a_worker_may_be_started_from_python(app, capsys):
    with pytest.raises(ValueError, match="expected the worker command"):
        app.worker_main(["inspect"])
    assert not app.start(["report"])
    assert "memory://app" in capsys.readouterr().out


def test_an_app_that_waits_for_finalize():
    app = Canvas("waits", broker="memory://waits", autofinalize=False, set_as_current=False)
    one = app.task(name="one")(lambda a: a)
    with pytest.raises(RuntimeError, match="Contract breach: app not finalized"):
        app.tasks
    app.finalize()
    assert app.tasks["one"] is one


class Noisy(Task):
    pass


def test_the_base_of_an_apps_tasks():
    class Own(Canvas):
        task_cls = Noisy

        def on_init(self):
            self.made = self.main

    own = Own("own", changes={"task_default_queue": "mine"}, set_as_current=False)
    assert (own.made, own.conf.task_default_queue) == ("own", "mine")
    named = Canvas("named", task_cls=f"{__name__}:Noisy", set_as_current=False)
    assigned = Canvas("assigned", set_as_current=False)
    assigned.Task = Noisy
    for app in (own, named, assigned):
        assert isinstance(app.task(name="one")(lambda: 1), Noisy)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        Canvas("bad", task_cls="nowhere:Noisy", set_as_current=False).task(name="one")(lambda: 1)


def test_django_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.settings")
    monkeypatch.setitem(sys.modules, "django", None)
    with pytest.warns(FixupWarning, match="Django is not installed") as warned:
        app = Canvas("nodjango", broker="memory://nodjango", set_as_current=False)
    assert warned[0].filename == __file__
    app.autodiscover_tasks(force=True)
    assert not hasattr(app.Task, "delay_on_commit")


def test_client_and_worker_in_one_program():
    from canvas.worker.node import plan_node
    from canvas.worker.options import new_worker_id
    from canvas.worker.process import WorkerProcess

    app = Canvas("both", broker="memory://both", backend="memory://both")
    add = app.task(name="add")(lambda x, y: x + y)
    tsum = app.task(name="tsum")(sum)
    import threading

    from canvas import chord

    plan = plan_node(app, pool="threads", concurrency=2)
    process = WorkerProcess(app, plan, 2, new_worker_id("here"))
    thread = threading.Thread(target=process.run, daemon=True)
    thread.start()
    try:
        assert (chord([add.s(i, i) for i in range(5)], tsum.s()) | add.s(1)).delay().get(timeout=20) == 21
    finally:
        process.stop()
        thread.join(20)
    assert not thread.is_alive()


def test_annotations_change_tasks():
    calls = []

    def counted(method):
        def call(self, *args):
            calls.append(args)
            return method(self, *args)

        return call

    class Slow:
        def annotate(self, task):
            return {"time_limit": 5} if task.name == "slow" else None

    settings = [{"*": {"rate_limit": "10/s"}, "add": {"@__call__": counted}}, Slow()]
    app = Canvas("annotated", broker="memory://", task_annotations=settings)
    app.task(name="add")(lambda x: x + 1)
    app.task(name="slow")(lambda: None)
    assert app.tasks["add"].apply((1,)).get() == 2
    assert calls == [(1,)]
    assert (app.tasks["add"].rate_limit, app.tasks["slow"].rate_limit) == ("10/s", "10/s")
    assert (app.tasks["add"].time_limit, app.tasks["slow"].time_limit) == (None, 5)
    broken = Canvas("broken", broker="memory://", task_annotations=[5])
    broken.task(name="add")(lambda x: x + 1)
    with pytest.raises(ConfigurationError, match="task_annotations"):
        broken.tasks["add"]


def test_each_app_tells_its_own_task():
    first, other = (Canvas(name, broker=f"memory://{name}", backend=f"memory://{name}") for name in ("first", "other"))
    told = first.task(name="shared.name")(lambda: first.current_task)
    other.task(name="shared.name")(lambda: None)
    assert told.apply().get() is told
    assert told() is told
    assert first.current_task is None
