"""Settings that belong to others: names of a project's own, of plug-ins and of other programs' environments."""

import difflib
import pickle
import subprocess
import sys
import types
from unittest.mock import patch

import pydantic
import pytest

from canvas import Canvas
from canvas.config.config import Config
from canvas.errors import InvalidSetting, NoSetting, UnknownSetting
from tests.support.warned import warnings_are_errors

OWN = ("app_name", "ONCE", "redbeat_redis_url", "singleton_lock_expiry", "APP_ENVIRONMENT", "sentry_dsn")


@pytest.fixture(autouse=True)
def no_warning_unless_expected():
    with warnings_are_errors():
        yield


@pytest.mark.parametrize("name", OWN)
def test_a_name_nobody_knows_is_kept_and_read(name):
    value = object()
    for conf in (Config.load(obj={name: value}), Config.load(overrides={name: value})):
        assert getattr(conf, name) is conf[name] is conf.get(name) is value
        assert name in conf
        assert name in list(conf)
    conf = Config()
    setattr(conf, name, value)
    assert conf[name] is value
    conf = Config()
    conf.update([(name, value)])
    assert conf[name] is value
    assert conf.setdefault(name, 3) is value


@pytest.mark.parametrize("name", OWN)
def test_strict_settings_refuse_it_from_every_source(name):
    strict = {"strict_settings": True}
    for load in (
        {"obj": {name: 1, **strict}},
        {"overrides": {name: 1, **strict}},
        {"obj": {name: 1}, "overrides": strict},
    ):
        with pytest.raises(UnknownSetting, match=name):
            Config.load(**load)
    conf = Config.load(overrides=strict)
    with pytest.raises(UnknownSetting, match=f"{name}.* from an assignment"):
        conf[name] = 1


@pytest.mark.parametrize(("name", "near"), [("task_ack_late", "task_acks_late"), ("redis_hosts", "redis_host")])
def test_a_name_that_resembles_a_setting_is_kept_with_a_warning(name, near):
    for change in (
        lambda: Config.load(obj={name: 1}),
        lambda: Config.load(obj=types.SimpleNamespace(**{name: 1})),
        lambda: Config.load(obj={f"CELERY_{name.upper()}": 1}, namespace="CELERY"),
        lambda: Canvas("resembles", set_as_current=False, **{name: 1}).conf,
    ):
        with pytest.warns(UserWarning, match=rf"{name}.*did you mean {near}\?"):
            conf = change()
        assert conf[name] == 1
        assert not conf[near] or conf[near] == Config()[near]


def test_what_a_django_project_has_beside_its_settings():
    settings = types.SimpleNamespace(
        CELERY_APP_NAME="shop", CELERY_ONCE={"backend": "x"}, CELERY_TRACK_STARTED="true", CELERY_DEFAULT_QUEUE="old",
        CELERY_TASK_TIME_LIMIT="30", CELERYD_CONCURRENCY=3, SECRET_KEY="hush", CELERY_API_KEY="hush too",
    )  # fmt: skip
    conf = Config.load(obj=settings, namespace="CELERY")
    assert (conf.app_name, conf["CELERY_APP_NAME"], conf.get("ONCE")) == ("shop", "shop", {"backend": "x"})
    assert (conf.task_track_started, conf.task_default_queue, conf.task_time_limit) == (True, "old", 30)
    assert conf.worker_concurrency == 3
    assert conf.SECRET_KEY == "hush"
    assert conf.CELERY_TASK_DEFAULT_QUEUE == "old"
    assert "hush" not in repr(conf)
    with pytest.raises(NoSetting):
        _ = conf.nothing_of_that_name


def test_an_unknown_setting_is_named_with_the_nearest_one():
    with pytest.raises(NoSetting) as raised:
        _ = Config.load().task_ack_late
    text = "unknown setting 'task_ack_late' from app.conf; did you mean task_acks_late?"
    assert str(raised.value) == text
    assert str(pickle.loads(pickle.dumps(raised.value))) == text


def test_a_missing_setting_with_a_default_is_not_compared_with_all_others(monkeypatch):
    compared = []
    monkeypatch.setattr(difflib.SequenceMatcher, "ratio", lambda self: compared.append(self.a) or 0.0)
    assert getattr(Config.load(), "task_ack_late", "default") == "default"
    assert compared == []


def test_a_setting_given_by_its_new_name_wins_over_the_old_one():
    settings = {"CELERY_DEFAULT_QUEUE": "old", "CELERY_TASK_DEFAULT_QUEUE": "new"}
    assert Config.load(obj=settings, namespace="CELERY").task_default_queue == "new"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("worker_concurrency", "4", 4), ("task_acks_late", "false", False), ("result_expires", "3600", 3600.0),
     ("task_time_limit", " 1.5 ", 1.5), ("task_protocol", "1", 1), ("broker_transport_options", '{"sep": ":"}', {"sep": ":"})],
)  # fmt: skip
def test_text_that_reads_as_the_right_kind_is_taken(name, text, value):
    app = Canvas("text", set_as_current=False)
    app.conf[name] = text
    assert app.conf[name] == value
    assert Config.load(obj={name: text})[name] == value


@pytest.mark.parametrize(
    ("name", "text"), [("worker_concurrency", "four"), ("task_acks_late", "maybe"), ("accept_content", ["jason"])]
)
def test_text_that_does_not_is_refused(name, text):
    with pytest.raises(InvalidSetting, match=f"{name}: expected"):
        Config.load(obj={name: text})


def test_a_misspelt_time_zone_is_refused_where_it_is_set():
    with pytest.raises(InvalidSetting, match="did you mean Europe/Berlin"):
        Config.load(obj={"timezone": "Europe/Berln"})


class Url:
    """As yarl's and furl's: no str, and text that is a URL."""

    def __str__(self):
        return "redis://:pw@h:6379/1"


@pytest.mark.parametrize("name", ["broker_url", "result_backend"])
def test_an_address_may_be_an_object(name):
    dsn = pydantic.TypeAdapter(pydantic.RedisDsn).validate_python("redis://h:6379/0")
    conf = Config.load(overrides={name: dsn})
    assert conf[name] == "redis://h:6379/0"
    assert type(conf[name]) is str
    conf[name] = [Url(), dsn]
    assert conf[name] == "redis://:pw@h:6379/1;redis://h:6379/0"
    assert Canvas("url", broker=dsn, backend=Url(), set_as_current=False).conf.result_backend == "redis://:pw@h:6379/1"


FOREIGN = {
    "CELERY_REDIS_PORT": "tcp://10.1.1.1:6379", "CELERY_BROKER_PORT": "tcp://10.1.1.1:6379",
    "CANVAS_PORT": "tcp://10.1.1.1:80", "CANVAS_SERVICE_HOST": "10.1.1.1", "CANVAS_API_URL": "https://lms.example",
    "CANVAS_REDIS_PORT": "tcp://10.1.1.1:6379", "CANVAS_API_KEY": "x", "CELERY_WORKER_CONCURRENCY": "auto",
    "CELERY_RESULT_EXPIRES": "", "CANVAS_TASK_ALWAYS_EAGER": "", "CANVAS_REDIS_SERVICE_PORT": "6379",
}  # fmt: skip


def test_variables_that_belong_to_others_are_left_alone():
    conf = Config.load(environ=FOREIGN)
    assert conf.changed() == {}
    code = "from canvas import Canvas; Canvas('x', broker='memory://').conf.task_default_queue"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], env=FOREIGN, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_celerys_own_variables_win_and_its_other_settings_are_not_read_from_there():
    environ = {
        "CELERY_BROKER_URL": "redis://env", "CELERY_RESULT_BACKEND": "redis://env/1", "CELERY_TASK_ALWAYS_EAGER": "1",
        "CELERY_TASK_DEFAULT_QUEUE": "q", "CANVAS_BROKER_URL": "redis://canvas",
    }  # fmt: skip
    conf = Config.load(
        environ=environ, overrides={"broker_url": "redis://given"}, obj={"result_backend": "redis://obj"}
    )
    assert (conf.broker_url, conf.result_backend) == ("redis://env", "redis://env/1")
    conf.broker_url = "redis://assigned"
    assert conf.broker_url == "redis://env"
    assert (conf.task_always_eager, conf.task_default_queue) == (False, "celery")


def test_a_misspelt_variable_gives_a_warning():
    with pytest.warns(UserWarning, match="CELERY_BROKR_URL; did you mean CELERY_BROKER_URL"):
        Config.load(environ={"CELERY_BROKR_URL": "redis://h"})


def test_assignments_can_be_taken_back(monkeypatch):
    app = Canvas("patched", task_default_queue="given", set_as_current=False)
    with patch.object(app.conf, "task_always_eager", True), patch.object(app.conf, "own", 1, create=True):
        assert app.conf.task_always_eager
        assert app.conf.own == 1
    assert not app.conf.task_always_eager
    assert "own" not in app.conf
    with monkeypatch.context() as patching:
        patching.setattr(app.conf, "task_default_queue", "patched")
        patching.setitem(app.conf, "task_acks_late", False)
        assert app.conf.task_default_queue == "patched"
    assert app.conf.task_default_queue == "given"
    assert app.conf.task_acks_late is True
    app.conf.task_default_queue = "assigned"
    del app.conf.task_default_queue
    assert app.conf.changed()["task_default_queue"] == "given"
    with pytest.raises(NoSetting):
        del app.conf["task_default_queue"]
