"""Options of a call that are ``None``, and options that tasks give to their messages, beside real Celery's."""

from importlib import import_module

import pytest

from canvas import Canvas
from canvas.errors import QueueNotFound

ATTRIBUTES = {
    "queue": "special", "priority": 6, "expires": 50, "time_limit": 9, "soft_time_limit": 4, "ignore_result": True,
}  # fmt: skip


class Program:
    """An app of either library, and what its messages say as they are sent."""

    def __init__(self, library, **settings):
        self.lib = import_module(library)
        make = self.lib.Celery if library == "celery" else self.lib.Canvas
        self.app = make("unset", broker="memory://unset", backend="cache+memory://", set_as_current=False)
        self.app.conf.update(task_default_priority=3, **settings)
        self.messages = []
        self.signal = import_module(f"{library}.signals").before_task_publish
        self.signal.connect(self.take)

        @self.app.task(name="t", shared=False, **ATTRIBUTES)
        def t():
            """Has an attribute for each option."""

        @self.app.task(name="plain", shared=False)
        def plain():
            """Has none."""

        self.t, self.plain = t, plain

    def take(self, routing_key=None, headers=None, properties=None, **about):
        limits, ignored = headers["timelimit"], headers["ignore_result"]
        priority = properties.get("priority") or 0
        self.messages.append((routing_key, limits, bool(headers["expires"]), bool(ignored), priority))

    def sent(self, call):
        self.messages.clear()
        try:
            call()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is compared
            return type(exc).__name__
        return list(self.messages)


@pytest.fixture
def programs():
    made = [Program("canvas"), Program("celery")]
    yield made
    for program in made:
        program.signal.disconnect(program.take)


def test_none_replaces_an_attribute_where_celery_lets_it(programs):
    def found(program):
        lib, t, app = program.lib, program.t, program.app
        calls = {}
        for option in ATTRIBUTES:
            none = {option: None}
            calls |= {
                f"{option}: of the task": lambda none=none: t.apply_async((), **none),
                f"{option}: of a signature": lambda none=none: t.s().apply_async((), **none),
                f"{option}: in a signature": lambda none=none: t.s().set(**none).apply_async(),
                f"{option}: of a group's member": lambda none=none: lib.group([t.s().set(**none)]).apply_async(),
                f"{option}: of a chain": lambda none=none: (t.si() | t.si()).apply_async((), **none),
            }
        calls["by name"] = lambda: app.send_task("other")
        return {name: program.sent(call) for name, call in calls.items()}

    mine, celerys = (found(program) for program in programs)
    assert mine == celerys
    assert mine["queue: of the task"][0][0] == "celery"
    assert mine["queue: of a signature"][0][0] == "special"


def test_an_own_send_task_gets_every_option_of_the_task(programs):
    def found(program):
        seen = []

        class App(type(program.app)):
            def send_task(self, name, args=None, kwargs=None, **options):
                taken = ("queue", "priority", "expires", "time_limit", "link", "link_error", "shadow", "serializer")
                seen.append({key: options.get(key, "missing") for key in taken})
                options.setdefault("queue", "another")
                return super().send_task(name, args, kwargs, **options)

        program.app.__class__ = App
        seen += [program.sent(call) for task in (program.t, program.plain) for call in (task.delay, task.s().delay)]
        return seen

    mine, celerys = (found(program) for program in programs)
    assert mine == celerys


def test_a_later_step_goes_to_the_queue_of_its_task():
    app = Canvas("steps", broker="memory://steps", set_as_current=False)
    app.conf.update(task_queues=["high", "low"], task_create_missing_queues=False)

    @app.task(queue="high")
    def high(*args):
        """Its queue is configured."""

    @app.task
    def low(*args):
        """It has no queue."""

    @app.task(queue="missing")
    def lost(*args):
        """Its queue is not."""

    (high.s() | high.s() | app.signature("workers.task")).apply_async()
    (low.s() | high.s()).apply_async(queue="low")
    (high.s() | low.s().set(queue="low")).apply_async()
    high.apply_async(link=high.s(), link_error=app.signature("workers.errback"))
    for step in (low.s(), lost.s(), app.signature("workers.task").set(queue="missing")):
        with pytest.raises(QueueNotFound):
            (high.s() | step).apply_async()


def test_a_call_may_lower_the_hard_limit_below_the_soft_one(programs):
    """The soft limit then has no effect. Limits that contradict each other where they are set are refused."""

    def found(program):
        app = program.app
        app.conf.update(task_time_limit=20, task_soft_time_limit=10)

        @app.task(name="limited", shared=False)
        def limited():
            """Has the app's limits."""

        @app.task(name="contradictory", shared=False, time_limit=5)
        def contradictory():
            """Has a lower hard limit than the app's soft one."""

        @app.task(name="agreed", shared=False, time_limit=5, soft_time_limit=3)
        def agreed():
            """Has both limits."""

        calls = {
            "of the app": limited.delay,
            "hard": lambda: limited.apply_async(time_limit=4),
            "in a signature": limited.s().set(time_limit=4).delay,
            "of a chain": lambda: (limited.si() | limited.si()).apply_async(time_limit=4),
            "soft": lambda: limited.apply_async(soft_time_limit=4),
            "contradictory": contradictory.delay,
            "and of a member": program.lib.group([contradictory.si(), limited.si()]).apply_async,
            "agreed": agreed.delay,
            "agreed, and lower": lambda: agreed.apply_async(time_limit=2),
        }
        return {name: program.sent(call) for name, call in calls.items()}

    mine, celerys = (found(program) for program in programs)
    assert mine == celerys
    assert mine["contradictory"] == "ValueError"
