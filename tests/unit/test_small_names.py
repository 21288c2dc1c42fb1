"""Names of Celery's that single projects use: older registration of commands, kinds of result backends."""

from canvas import Canvas
from canvas.result.backend_classes.keyvalue import BaseKeyValueStoreBackend, DisabledBackend
from canvas.worker.control.user_commands import Panel, find_command


def made(**options):
    return Canvas("small", broker="memory://", set_as_current=False, **options)


def test_commands_by_the_older_decorator():
    @Panel.register
    def old_style(state):
        """Older than the others."""
        return {"ok": state.hostname}

    @Panel.register(name="reported", alias="told", type="inspect", args=[("x", int)])
    def report(state, x):
        return x

    one, two = find_command("old_style"), find_command("told")
    assert (one.kind, one.function, one.help) == ("control", old_style, "Older than the others.")
    assert (two.kind, two.name, two.function, two.named(["4"])) == ("inspect", "reported", report, {"x": 4})
    assert (Panel.data["old_style"], Panel.data["reported"], Panel.data["told"]) == (old_style, report, report)


def test_kinds_of_result_backends():
    storing, none = made(backend="memory://").backend, made().backend
    assert [isinstance(one, BaseKeyValueStoreBackend) for one in (storing, none)] == [True, False]
    assert [isinstance(one, DisabledBackend) for one in (storing, none)] == [False, True]
    storing.store_result("one", 5, "SUCCESS")
    written = storing.mget([storing.get_key_for_task("one")])[0]
    assert storing.decode_result(written)["result"] == 5
    assert (storing.get_status("one"), storing.expires) == ("SUCCESS", 86400)


def test_queues_that_a_worker_takes_from():
    app = made(task_queues=["a", "b", "c"])
    app.amqp.queues.deselect(["b"])
    assert sorted(app.amqp.queues) == ["a", "c"]
    app.amqp.queues.select("c")
    assert sorted(app.amqp.queues) == ["c"]
