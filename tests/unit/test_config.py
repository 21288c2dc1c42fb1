"""Settings: where they come from, what is refused, and how it is said."""

import types
from datetime import timedelta

import pytest
from celery.app.defaults import NAMESPACES, flatten

from canvas import Canvas
from canvas.config.config import Config
from canvas.config.settings import SETTINGS
from canvas.errors import InvalidSetting, UnknownSetting
from canvas.model.record import Record


@pytest.mark.parametrize(
    "name",
    [
        "task_default_queue",
        "task_serializer",
        "result_expires",
        "task_protocol",
        "timezone",
        "imports",
        "accept_content",
    ],
)
def test_defaults_are_celerys(name):
    assert Config()[name] == dict(flatten(NAMESPACES))[name].default


@pytest.mark.parametrize("names", [("a",), ["a"]])
def test_names_keep_their_kind_of_sequence(names):
    """Programs add tuples to ``imports`` and ``include`` where these are tuples, and lists where they are lists."""
    app = Canvas("names", set_as_current=False)
    more = type(names)("b")
    for setting in ("imports", "include"):
        assert app.conf[setting] == ()
        app.conf[setting] = names
        app.conf[setting] = app.conf[setting] + more
        assert app.conf[setting] == type(names)("ab")


def test_one_default_differs():
    assert Config().task_acks_late is True


def test_later_sources_win():
    environ = {"CANVAS_TASK_DEFAULT_QUEUE": "v", "CELERY_BROKER_URL": "redis://e"}
    obj = {"task_default_queue": "o", "broker_url": "redis://o", "result_expires": 5}
    conf = Config.load(obj=obj, environ=environ, overrides={"result_serializer": "msgpack"})
    assert (conf.task_default_queue, conf.broker_url) == ("v", "redis://e")
    assert (conf.result_expires, conf.result_serializer) == (5, "msgpack")
    conf.task_default_queue = "assigned"
    assert conf["task_default_queue"] == "assigned"
    assert set(conf.changed()) == {"task_default_queue", "broker_url", "result_expires", "result_serializer"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("task_acks_late", "no", False), ("worker_concurrency", "3", 3), ("worker_lease_ttl", "2.5", 2.5),
        ("accept_content", "json, msgpack", ["json", "msgpack"]), ("imports", '["a", "b"]', ["a", "b"]),
        ("broker_transport_options", '{"visibility_timeout": 5}', {"visibility_timeout": 5}), ("timezone", "UTC", "UTC"),
    ],
)  # fmt: skip
def test_the_environment_is_read_by_kind(name, text, value):
    assert Config.load(environ={f"CANVAS_{name.upper()}": text})[name] == value


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("task_acks_late", "sometimes", "true or false"), ("worker_concurrency", -1, "0 or more"),
        ("worker_concurrency", 1.5, "whole number") if SETTINGS["worker_concurrency"].kind == "count" else ("task_protocol", 3, "1 or 2"),
        ("task_protocol", 3, "1 or 2"), ("imports", [1], "list of names"), ("task_serializer", 1, "text"),
        ("result_expires", "soon", "timedelta"), ("broker_transport_options", [], "mapping"),
        ("worker_unknown_task", "drop", "dead_letter"),
    ],
)  # fmt: skip
def test_a_wrong_kind_says_what_was_expected_and_where_it_came_from(name, value, expected):
    with pytest.raises(InvalidSetting, match=rf"{name}: expected .*{expected}.*; got .* from a keyword argument"):
        Config.load(overrides={name: value})


def test_wrong_text_in_a_variable_gives_a_warning_that_names_it():
    with pytest.warns(UserWarning, match="got 'many' from environment variable CANVAS_WORKER_CONCURRENCY"):
        conf = Config.load(environ={"CANVAS_WORKER_CONCURRENCY": "many"})
    assert conf.worker_concurrency is None


def test_secrets_inside_of_settings_are_not_shown():
    conf = Config.load(overrides={"broker_use_ssl": {"ssl_keyfile": "k.pem", "ssl_password": "hush"}})
    assert conf.as_dict()["broker_use_ssl"] == {"ssl_keyfile": "k.pem", "ssl_password": "********"}
    assert "hush" not in repr(conf)
    assert conf.broker_use_ssl["ssl_password"] == "hush"


def test_secrets_are_not_shown():
    with pytest.raises(InvalidSetting) as caught:
        Config.load(overrides={"redis_password": 12345})
    assert "12345" not in str(caught.value)
    conf = Config.load(overrides={"broker_url": "redis://me:hunter2@h/0", "redis_password": "hunter2"})
    assert "hunter2" not in repr(conf)
    assert "hunter2" not in str(conf.as_dict())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("task_default_queu", "task_default_queue"), ("TASK_DEFAULT_QUEUE", "task_default_queue"), ("workerpool", "worker_pool")],
)  # fmt: skip
def test_an_unknown_name_suggests_the_nearest(name, hint):
    with pytest.raises(UnknownSetting, match=hint):
        Config.load(overrides={name: 1, "strict_settings": True})
    with pytest.warns(UserWarning, match=f"unknown setting '{name}' from a keyword argument; did you mean {hint}"):
        conf = Config.load(overrides={name: 1})
    assert conf[name] == 1


def test_unknown_variables():
    with pytest.warns(UserWarning, match=r"CANVAS_TASK_DEFAULT_QUEU; did you mean CANVAS_TASK_DEFAULT_QUEUE\?"):
        Config.load(environ={"CANVAS_TASK_DEFAULT_QUEU": "x"})
    with pytest.raises(UnknownSetting, match="CANVAS_TASK_DEFAULT_QUEU"):
        Config.load(environ={"CANVAS_TASK_DEFAULT_QUEU": "x", "CANVAS_STRICT_SETTINGS": "1"})
    Config.load(environ={"CELERY_LOG_LEVEL": "INFO", "CELERY_WHATEVER": "x", "PATH": "x", "CANVAS_APP": "x"})


def test_a_module_may_hold_other_things_too():
    module = types.ModuleType("settings")
    module.task_default_queue, module.helper, module.SECRET, module.os = "m", len, 1, types
    assert Config.load(obj=module).task_default_queue == "m"
    module.task_default_queu = "typo"
    with pytest.warns(UserWarning, match="task_default_queue"):
        Config.load(obj=module)
    module.strict_settings = True
    with pytest.raises(UnknownSetting, match="task_default_queue"):
        Config.load(obj=module)


def test_a_namespace_as_django_users_write_it():
    obj = types.SimpleNamespace(CELERY_TASK_DEFAULT_QUEUE="d", CELERY_BROKER_URL="redis://d", DEBUG=True)
    conf = Config.load(obj=obj, namespace="CELERY")
    assert (conf.task_default_queue, conf.broker_url) == ("d", "redis://d")


def test_result_expires_takes_a_timedelta():
    hour = timedelta(hours=1)
    assert Config.load(overrides={"result_expires": hour}).result_expires == hour
    for expires, seconds in ((hour, 3600), (60, 60), (None, None), (timedelta(), None)):
        with Canvas("expiring", broker="memory://", backend="memory://", result_expires=expires) as app:
            assert app.backend.expires == seconds
            record = Record("one", "SUCCESS", 1)
            successes = [app.backend.success_of("one", 1, [], "2026-01-01T00:00:00", None, None).expires]
            assert [app.backend.store_of(record).expires, *successes] == [seconds] * 2


def test_config_from_object_by_name_and_after_use(monkeypatch, tmp_path):
    (tmp_path / "shop_settings.py").write_text("task_default_queue = 'shop'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    app = Canvas("x", broker="memory://", backend="memory://")
    assert app.conf.task_default_queue == "celery"
    app.config_from_object("shop_settings")
    assert app.conf.task_default_queue == "shop"


def test_names_that_are_no_settings():
    conf = Config()
    with pytest.raises(UnknownSetting, match="worker_concurrency"):
        _ = conf.worker_concurency
    with pytest.raises(UnknownSetting):
        conf["nothing"]
    assert conf.get("nothing", 7) == 7
    conf.strict_settings = True
    with pytest.raises(UnknownSetting):
        conf.update(nothing=1)
    assert "task_routes" in conf
    assert len(list(conf)) == len(SETTINGS)


def test_passwords_in_addresses_are_not_shown():
    app = Canvas("shown", broker="redis+socket:///tmp/r?password=secret&db=1", set_as_current=False)
    assert "secret" not in repr(app.conf)
    with pytest.raises(InvalidSetting, match="got a value of type list") as raised:
        app.conf.broker_url = ["redis://:secret@h", 3]
    assert "secret" not in str(raised.value)
