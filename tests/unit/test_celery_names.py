"""What code written for Celery calls: the same names, in the same places, with the same arguments."""

import copy
import inspect
import json
import subprocess
import sys
from datetime import datetime

import celery
import celery.app.control
import celery.exceptions
import celery.result
import celery.signals
import pytest

import canvas
from canvas import Canvas, current_app, current_task, exceptions, signals
from canvas.errors import UnknownSetting
from canvas.remote.control import Control
from canvas.remote.inspect import Inspect


@pytest.fixture
def app():
    app = Canvas("names", broker="memory://names", backend="memory://names")
    yield app
    app.close()


def parameters(function):
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [name for name, one in inspect.signature(function).parameters.items() if one.kind not in kinds]


@pytest.mark.parametrize(
    ("ours", "theirs", "without"),
    [(Control, celery.app.control.Control, {"election"}), (Inspect, celery.app.control.Inspect, set())],
)
def test_methods_take_celerys_arguments_in_its_order(ours, theirs, without):
    for name, method in inspect.getmembers(theirs, inspect.isfunction):
        if not name.startswith("_") and name not in without:
            wanted = parameters(method)
            assert parameters(getattr(ours, name))[: len(wanted)] == wanted, name


def test_results_take_celerys_arguments_in_its_order(app):
    wanted = parameters(celery.result.AsyncResult.__init__)
    assert parameters(canvas.AsyncResult.__init__)[: len(wanted)] == wanted
    assert app.AsyncResult("x", task_name="t").name == "t"


def test_every_signal_has_its_name():
    assert {name for name in celery.signals.__all__ if not hasattr(signals, name)} == set()


@pytest.mark.parametrize(
    "name", ["InvalidTaskError", "CeleryError", "BackendError", "SecurityError", "ImproperlyConfigured"]
)
def test_exceptions_have_their_names(name):
    assert issubclass(getattr(exceptions, name), Exception)
    assert hasattr(celery.exceptions, name)


def test_the_current_app_and_task_are_looked_up_at_each_use(app):
    @app.task(bind=True)
    def who(self):
        return current_task.name, current_task.request.id, bool(current_task), current_app.main

    assert current_app == app
    assert current_app.main == "names"
    assert current_app().tasks is current_app.tasks
    assert isinstance(current_app, Canvas)
    assert not current_task
    result = who.apply(task_id="id")
    assert result.get() == (who.name, "id", True, "names")
    later = Canvas("later", broker="memory://later")
    assert current_app.main == "later"
    current_app.main = "renamed"
    assert later.main == "renamed"
    app.set_current()


def test_the_current_app_harms_nobody_before_there_is_one():
    code = """
import copy, functools, inspect, canvas
from canvas import current_app, shared_task
assert not current_app and repr(current_app) == "None" and not isinstance(current_app, canvas.Canvas)
inspect.getmembers(canvas, inspect.isclass)
@shared_task
def add(x, y): return x + y
@functools.wraps(add)
def wrapped(): pass
assert wrapped.__qualname__ == "add" and not inspect.iscoroutinefunction(add) and not hasattr(add, "__nothing__")
app = canvas.Canvas("x", broker="memory://")
import pickle
assert copy.copy(current_app) is app and pickle.loads(pickle.dumps(add)) is app.tasks[add.name]
assert {app.tasks[add.name]: 1}[add] == 1
with current_app as same: assert same is app
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stderr == ""


def test_settings_that_receivers_change_reach_the_tasks(app):
    @app.task
    def add(x, y):
        return x + y

    @app.on_after_configure.connect
    def change(sender, **_):
        assert add.name in sender.tasks
        sender.conf.task_serializer, sender.conf.task_ignore_result = "msgpack", True

    assert (app.tasks[add.name].serializer, add.ignore_result) == ("msgpack", True)


def test_periodic_tasks_are_entered_when_all_is_configured(app):
    @app.on_after_configure.connect
    def enter(sender, source, **_):
        sender.add_periodic_task(30.0, add.s(1, 2), name="thirty", expires=10)
        assert sender.add_periodic_task(5, add.s(), (3, 4), queue="q") == repr(add.s(3, 4))
        assert source is sender.conf

    @app.on_after_finalize.connect
    def look(sender, **_):
        sender.finalized_with = sorted(sender.conf.beat_schedule)

    @app.task
    def add(x, y):
        return x + y

    assert app.tasks[add.name] is add
    assert app.finalized_with == sorted(["thirty", repr(add.s(3, 4))])
    entry = app.conf.beat_schedule["thirty"]
    assert (entry["schedule"], entry["task"], tuple(entry["args"])) == (30.0, add.name, (1, 2))
    assert entry["options"] == {"expires": 10}


def test_djangos_names_of_apps_are_packages(app, tmp_path, monkeypatch):
    for name, text in {
        "shop/__init__.py": "", "shop/apps.py": "class ShopConfig: pass", "shop/tasks.py": "import shop\nshop.loaded = 1",
        "bare/__init__.py": "",
    }.items():  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    app.autodiscover_tasks(["shop.apps.ShopConfig", "bare"], force=True)
    assert sys.modules["shop"].loaded == 1
    with pytest.raises(ModuleNotFoundError):
        app.autodiscover_tasks(["shop.apps.NoConfig"], force=True)
    with pytest.raises(ModuleNotFoundError):
        app.autodiscover_tasks(["nowhere"], force=True)


def test_results_tell_when_they_were_done(app):
    app.backend.store_result("id", 1, "SUCCESS")
    assert isinstance(app.AsyncResult("id").date_done, datetime)
    assert app.AsyncResult("none").date_done is None


def test_settings_are_a_mapping_with_celerys_manners(app):
    conf = app.conf
    assert getattr(conf, "no_such", 3) == 3
    assert not hasattr(conf, "no_such")
    with pytest.raises(KeyError):
        conf["no_such"]
    with pytest.raises(UnknownSetting, match=r"unknown setting 'no_such' from app\.conf"):
        _ = conf.no_such
    assert dict(conf.items())["task_default_queue"] == "celery"
    assert len(conf) == len(conf.values()) == len(conf.keys())
    assert conf.setdefault("task_default_queue", "other") == "celery"
    assert (conf.setdefault("of_mine", "kept"), conf.setdefault("of_mine", "other")) == ("kept", "kept")
    conf.add_defaults({"task_default_queue": "mine", "of_mine": "other"})
    conf.add_defaults({"task_default_queue": "other"})
    assert conf.of_mine == "kept"
    assert copy.deepcopy(conf).task_default_queue == "mine"
    conf.redis_password = "secret"
    assert "redis_password: '********'" in conf.humanize()
    assert conf.table(censored=False)["redis_password"] == "secret"
    assert conf.changes["task_default_queue"] == "mine"


def test_old_names_of_settings_are_understood():
    app = Canvas("old", set_as_current=False)
    app.config_from_object({"BROKER_URL": "memory://old", "CELERYD_CONCURRENCY": 3, "CELERY_ALWAYS_EAGER": True})
    assert (app.conf.broker_url, app.conf.worker_concurrency, app.conf.task_always_eager) == ("memory://old", 3, True)
    assert app.conf.CELERYD_CONCURRENCY == app.conf["CELERYD_CONCURRENCY"] == app.conf.get("CELERYD_CONCURRENCY") == 3
    assert "CELERYD_CONCURRENCY" in app.conf
    assert app.conf.setdefault("CELERYD_CONCURRENCY", 9) == 3
    assert app.conf.get("_given") is None


def test_a_receiver_that_raises_keeps_none_from_hearing(app, caplog):
    heard = []

    def faulty(**_):
        raise RuntimeError("my fault")

    def second(**_):
        heard.append("second")

    signals.before_task_publish.connect(faulty)
    signals.before_task_publish.connect(second)
    assert signals.before_task_publish.has_listeners()
    for _ in range(2):
        app.send_task("t")
    signals.before_task_publish.disconnect(faulty)
    signals.before_task_publish.disconnect(second)
    assert heard == ["second", "second"]
    assert caplog.text.count("RuntimeError: my fault") == 2
    assert not signals.before_task_publish.has_listeners()


def test_a_receiver_that_is_gone_blocks_no_other(app):
    heard = []

    def connect():
        def receive(**_):
            heard.append(1)

        signals.after_task_publish.connect(receive, dispatch_uid="one")
        return receive

    connect()
    kept = connect()
    app.send_task("t")
    signals.after_task_publish.disconnect(kept, dispatch_uid="one")
    assert heard == [1]


def test_calls_here_and_now_send_signals_as_a_workers(app):
    heard = []

    @app.task(bind=True, max_retries=1)
    def work(self, what):
        if what == "again":
            raise self.retry(countdown=0)
        return 1 / what

    def note(signal, sender, **about):
        heard.append((signal.name, about.get("state") or type(about.get("exception")).__name__))

    names = ["task_prerun", "task_success", "task_failure", "task_retry", "task_postrun"]
    for name in names:
        getattr(signals, name).connect(note, sender=work)
    work.apply((1,))
    assert heard == [("task_prerun", "NoneType"), ("task_success", "NoneType"), ("task_postrun", "SUCCESS")]
    heard.clear()
    work.apply((0,))
    assert heard == [("task_prerun", "NoneType"), ("task_failure", "ZeroDivisionError"), ("task_postrun", "FAILURE")]
    heard.clear()
    work.apply(("again",))
    assert [name for name, _ in heard].count("task_retry") == 1
    for name in names:
        assert getattr(signals, name).disconnect(note, sender=work)


def test_fields_of_a_signature_can_be_set(app):
    theirs = celery.Celery("theirs", set_as_current=False).signature("a")
    ours = app.signature("a")
    for sig in (theirs, ours):
        sig.task, sig.args, sig.kwargs, sig.id, sig.root_id, sig.parent_id = "b", (1,), {"k": 2}, "i", "r", "p"
        sig.immutable = True
    assert json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)
