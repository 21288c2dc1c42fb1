"""Attributes of tasks and settings that plug-ins of Celery use, public or not."""

import copy
import logging
import sys
from unittest import mock

import celery
import celery.app.task
import celery.result
import pytest

from canvas import Canvas, Task, result
from canvas.model.request import Request
from canvas.result.backend_classes.servers import RedisBackend


@pytest.fixture
def app():
    app = Canvas("plug_ins", broker="memory://plug_ins", backend="memory://plug_ins")
    yield app
    app.close()


def test_a_copy_of_celerys_apply_async(app):
    """Plug-ins have one, which reads what Celery's own method reads."""

    class Copied(Task):
        def apply_async(self, args=None, kwargs=None, task_id=None, **options):
            self.__header__(*(args or ()), **(kwargs or {}))
            assert (self.__v2_compat__, self.__bound__, self.__trace__) == (False, True, None)
            options = {**self._get_exec_options(), **options}
            return self._get_app().send_task(self.name, args, kwargs, task_id=task_id, task_type=self, **options)

    @app.task(base=Copied, queue="q", priority=3)
    def double(x):
        return 2 * x

    given = {name: value for name, value in double._get_exec_options().items() if value is not None}
    assert given == {"queue": "q", "priority": 3, "serializer": "json"}
    assert double.delay(1).id
    with pytest.raises(TypeError):
        double.delay()
    assert Task.subtask_from_request is Task.signature_from_request


def test_settings_of_a_plug_in_with_names_like_pythons_own(app):
    app.conf["__backend_of_a_plug_in"] = found = object()
    assert app.conf["__backend_of_a_plug_in"] is found
    assert "__backend_of_a_plug_in" in app.conf
    assert not hasattr(app.conf, "__other")
    assert copy.copy(app.conf)["__backend_of_a_plug_in"] is found
    with pytest.raises(KeyError):
        app.conf["__other"]


@pytest.mark.parametrize(
    ("ours", "theirs", "without"),
    [
        (Canvas, celery.Celery, {"Pickler"}),
        (Task, celery.Task, {"retry_on_worker_lost"}),
        (result.AsyncResult, celery.result.AsyncResult, {"throw"}),
        (result.EagerResult, celery.result.EagerResult, {"throw"}),
        (result.GroupResult, celery.result.GroupResult, set()),
        (Request, celery.app.task.Context, set()),
    ],
)
def test_a_mock_of_a_class_has_celerys_attributes(ours, theirs, without):
    """Tests make mocks with ``spec=``, which looks at the class alone."""
    mocked, names = mock.Mock(spec=ours), [name for name in dir(theirs) if not name.startswith("_")]
    assert {name for name in names if not hasattr(mocked, name)} == without
    assert isinstance(mocked, ours)


def test_what_is_printed_goes_to_a_logger(app, monkeypatch, caplog):
    """As receivers of ``setup_logging`` have it done."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    with caplog.at_level(logging.INFO, "redirected"):
        proxy = app.log.redirect_stdouts_to_logger(logging.getLogger("redirected"), "INFO", stderr=False)
        print("printed")
    assert sys.stdout is proxy is not sys.stderr
    assert [(one.name, one.levelname, one.getMessage()) for one in caplog.records] == [
        ("redirected", "INFO", "printed")
    ]
    app.log.redirect_stdouts("ERROR")
    assert sys.stderr.logger.name == "celery.redirected"
    theirs = celery.Celery("theirs", broker="memory://", set_as_current=False)
    for enabled in (None, True, False):
        assert str(app.log.colored(enabled=enabled).red("no")) == str(theirs.log.colored(enabled=enabled).red("no"))


def test_a_lazy_task_and_its_options(app):
    """Plug-ins ask a decorated function for the task, and pass its options to ``send_task``."""
    theirs = celery.Celery("theirs", broker="memory://", set_as_current=False)

    def task():
        """A task."""

    ours, other = (of.task(priority=3, serializer="pickle")(task) for of in (app, theirs))
    assert ours.__maybe_evaluate__() is ours
    assert ours._get_exec_options() == other._get_exec_options()


@pytest.mark.parametrize("name", ["queue", "exchange", "routing_key", "compression", "delivery_mode"])
def test_attributes_of_those_tasks_that_are_given_them(app, name):
    """Plug-ins read them with a default: ``getattr(task, "queue", app.conf.task_default_queue)``."""
    theirs = celery.Celery("theirs", broker="memory://", set_as_current=False)

    def task():
        """A task."""

    for of in (app, theirs):
        without, given = (
            of.task(name=one, shared=False, **more)(task) for one, more in (("a", {}), ("b", {name: "x"}))
        )
        assert (getattr(without, name, "none"), getattr(given, name)) == ("none", "x")
        assert (without._app, without._get_app(), of._tasks["a"]) == (of, of, without)
        assert without._get_request() == without.request


def test_class_methods_of_tasks_have_the_current_app(app):
    theirs = celery.Celery("theirs", broker="memory://", set_as_current=False)
    for of, base in ((app, Task), (theirs, celery.Task)):
        of.set_current()
        found = type("Own", (base,), {})._get_app()
        assert found.main == of.main
        assert found.config_from_object({"task_default_queue": "q"}, force=True).task_default_queue == "q"


def test_a_class_of_tasks_may_use_the_names_of_other_libraries_for_itself(app):
    """canvas' own public names on tasks: each more is one that classes of Celery's users may have taken."""
    known = {
        "aapply_async", "adelay", "arity", "attribute_options", "call_parameters", "call_signature", "check_typing",
        "concurrency_key", "concurrency_limit", "pydantic_models", "rate_limit_scope", "retry_after", "sends_itself",
        "option_values", "takes_itself", "unique_conflict", "unique_for", "unique_key", "unique_until",
    }  # fmt: skip
    retries = {"autoretry_for", "dont_autoretry_for", *(
        f"retry_{name}" for name in ("backoff", "backoff_max", "jitter", "kwargs")
    )}  # fmt: skip
    public = {name for name in dir(Task) if name[0] != "_"}
    # Celery's class has this one once an app is bound.
    assert public - {*dir(celery.Task), "store_eager_result"} == known | retries

    class Base(Task):
        models, parameters, bound, autoretry = {"a": 1}, ["b"], "c", True

        def check_arguments(self):
            return self.models, self.parameters, self.bound, self.autoretry

        exec_options = check_arguments

    @app.task(base=Base, bind=True, shared=False, name="own")
    def own(self, x=None):
        return self.check_arguments()

    assert own.delay(1).id
    assert own.apply((2,)).get() == ({"a": 1}, ["b"], "c", True)


def test_settings_are_found_by_parts_of_their_names(app):
    theirs = celery.Celery("theirs", broker="memory://", set_as_current=False)
    names = [("always_eager",), ("task_always_eager",), ("always_eager", "task"), ("url", "broker"), ("of_nobody",)]
    found = []
    for of in (app, theirs):
        of.config_from_object({"APP_TASK_ALWAYS_EAGER": True}, namespace="APP")
        found.append([of.conf.task_always_eager, of.conf.prefix, len(of.conf.deprecated_settings)])
        for name in names:
            try:
                option = of.conf.find_option(*name)
            except KeyError:
                found[-1].append(None)
            else:
                found[-1].append((option.namespace, option.key, option.type.default))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "url",
    ["redis://h:77/3", "redis://", "redis://u:p%40@h/", "redis://:pw@h:2/1?socket_timeout=9", "redis://h/?db=4",
     "rediss://h:3/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=%2Fa%2Fb", "socket:///tmp/x.sock?virtual_host=4"],
)  # fmt: skip
def test_the_arguments_of_a_connection_for_a_url(app, url):
    defaults = {"host": "other", "port": 1, "db": 5, "password": None, "socket_connect_timeout": None}
    theirs = celery.Celery("theirs", broker="memory://", backend="redis://", set_as_current=False).backend
    ours = RedisBackend(app=app, url="redis://")
    assert ours._params_from_url(url, dict(defaults)) == theirs._params_from_url(url, dict(defaults))


def test_the_policy_of_the_result_store_and_the_report_of_a_failed_join(app):
    theirs = celery.Celery("theirs", broker="memory://", backend="redis://", set_as_current=False)
    assert app.backend.retry_policy == theirs.backend.retry_policy
    options = {"retry_policy": {"max_retries": 3}}
    theirs = celery.Celery("theirs", backend="redis://", result_backend_transport_options=options, set_as_current=False)
    theirs.conf.result_backend_transport_options = app.conf.result_backend_transport_options = options
    assert app.backend.retry_policy == theirs.backend.retry_policy

    one, other = app.AsyncResult("one"), app.AsyncResult("other")
    app.backend.store_result("one", 1, "SUCCESS")
    app.backend.store_result("other", ValueError("no"), "FAILURE")
    report = app.GroupResult("g", [one, other])._failed_join_report
    assert list(report()) == []
    assert (one.ready(), other.ready()) == (True, True)
    assert list(report()) == [other]
