"""Result backends by Celery's classes: their paths, and classes that a program derives from them."""

import pickle

import pytest

from canvas import Canvas, chord, group
from canvas.errors import ConfigurationError, OperationalError, RefusedError
from canvas.result.backend_classes.base_backend import BaseBackend
from canvas.result.backend_classes.keyvalue import KeyValueStoreBackend
from canvas.result.backend_classes.servers import DatabaseBackend, RedisBackend
from canvas.testing.worker import start_worker


def made(**given):
    return Canvas("backends", broker="memory://", set_as_current=False, **given)


REDIS = "celery.backends.redis:RedisBackend"
HERE = __name__


class Files(KeyValueStoreBackend):
    """Values in files: the processes of a worker read them, too."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.client = self.url.removeprefix("folder://")

    def path(self, key):
        return f"{self.client}/{key.decode()}"

    def get(self, key):
        try:
            with open(self.path(key), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def mget(self, keys):
        return {key: self.get(key) for key in keys}

    def set(self, key, value):
        with open(self.path(key), "wb") as file:
            file.write(value.encode())

    def delete(self, key):
        import os

        os.unlink(self.path(key))


class Kept(BaseBackend):
    """Records as a program takes them apart."""

    tasks: dict = {}
    groups: dict = {}

    def _store_result(self, task_id, result, status, traceback=None, request=None):
        name, children = request and request.task, self.current_task_children(request)
        self.tasks[task_id] = pickle.dumps([status, result, traceback, name, children])

    def _get_task_meta_for(self, task_id):
        if task_id not in self.tasks:
            return {"status": "PENDING", "result": None}
        status, result, traceback, name, children = pickle.loads(self.tasks[task_id])
        fields = {"status": status, "result": result, "traceback": traceback, "name": name, "children": children}
        return self.meta_from_decoded(fields)

    def _forget(self, task_id):
        self.tasks.pop(task_id, None)

    def _save_group(self, group_id, result):
        self.groups[group_id] = result

    def _restore_group(self, group_id):
        return {"result": self.groups[group_id]} if group_id in self.groups else None

    def _delete_group(self, group_id):
        del self.groups[group_id]


class Secret(RedisBackend):
    def __init__(self, *args, **kwargs):
        kwargs["url"] = "redis://:of-the-vault@cache:6380/3"
        super().__init__(*args, **kwargs)

    def greeting(self):
        return "hello"


class Replaced(RedisBackend):
    def set(self, key, value):
        return None


class Broken(KeyValueStoreBackend):
    def get(self, key):
        raise {"type": TypeError, "net": ConnectionResetError}[self.url.partition("://")[2]]("no")


@pytest.mark.parametrize(
    ("backend", "settings", "url"),
    [
        (REDIS, {}, "redis://localhost:6379/0"),
        ("redis", {"redis_host": "r", "redis_port": 1, "redis_db": 2, "redis_password": "p@"}, "redis://:p%40@r:1/2"),
        (f"{REDIS}+redis://a:1/2", {}, "redis://a:1/2"),
        ("celery.backends.redis.RedisBackend+rediss://a:1/2", {}, "rediss://a:1/2"),
        ("celery.backends.redis:SentinelBackend+sentinel://a:1/2", {}, "sentinel://a:1/2"),
        ("celery.backends.database:DatabaseBackend+sqlite:////x.db", {}, "db+sqlite:////x.db"),
        ("database", {"database_url": "sqlite:////x.db"}, "db+sqlite:////x.db"),
        ("celery.backends.cache:CacheBackend+memcached://a:1/", {}, "cache+memcached://a:1/"),
        ("celery.backends.cache:CacheBackend", {}, "cache"),
        ("celery.backends.filesystem:FilesystemBackend+file:///x", {}, "file:///x"),
        ("celery.backends.rpc.RPCBackend", {}, "rpc://"),
        ("celery.backends.base:DisabledBackend", {}, "disabled://"),
        ("celery.backends.mongodb:MongoBackend", {}, "mongodb://"),
        ("django_celery_results.backends:DatabaseBackend", {}, "django-db"),
        ("django_celery_results.backends.DatabaseBackend", {}, "django-db"),
        ("django_celery_results.backends.database:DatabaseBackend", {}, "django-db"),
        ("django_celery_results.backends.cache.CacheBackend", {}, "django-cache"),
        (f"{HERE}:Secret", {}, "redis://:of-the-vault@cache:6380/3"),
        (Secret, {}, "redis://:of-the-vault@cache:6380/3"),
        (DatabaseBackend, {"database_url": "sqlite:////x.db"}, "db+sqlite:////x.db"),
        (f"{HERE}.Files+folder:///x", {}, None),
    ],
)
def test_what_a_result_backend_means(backend, settings, url):
    assert made(result_backend=backend, **settings).result_target.url == url


def test_an_app_s_backend_is_the_object_of_the_class():
    app = made(result_backend=Secret)
    assert (app.backend.greeting(), app.backend.as_uri()) == ("hello", "redis://:**@cache:6380/3")
    assert isinstance(app.backend, Secret) and not isinstance(made(backend="redis://cache").backend, Secret)
    assert isinstance(made(backend="redis://cache").backend, RedisBackend)


def test_names_that_a_loader_or_the_class_of_an_app_gives():
    app = made(result_backend="mine+folder:///x")
    app.loader.override_backends = {"mine": f"{HERE}:Files"}
    assert type(app.backend) is Files and app.backend.url == "folder:///x"
    app = made()
    app.backend_cls = f"{HERE}:Kept"
    assert type(app.backend) is Kept


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (f"{HERE}:Replaced", "Replaced: canvas does not call its set: .*KeyValueStoreBackend"),
        (f"{HERE}:Missing", "has no attribute 'Missing'"),
        ("kombu.tests:Nothing", "No module named"),
        (dict, "expected a URL, or a class of celery.backends; got <class 'dict'>"),
        ("tests.support.celerys_backend:Theirs", "import canvas.as_celery before celery"),
    ],
)
def test_classes_that_cannot_be_used(backend, words):
    with pytest.raises(ConfigurationError, match=words):
        made(result_backend=backend).driver


@pytest.fixture(params=["values", "records"])
def app(request, tmp_path):
    backend = f"{HERE}:Files+folder://{tmp_path}" if request.param == "values" else Kept
    app = made(result_backend=backend, result_extended=True, task_store_eager_result=True)

    @app.task(name="add")
    def add(x, y):
        return x + y

    @app.task(name="fails")
    def fails():
        raise ValueError("on purpose")

    @app.task(name="total")
    def total(numbers):
        return sum(numbers)

    return app


def test_a_program_s_own_class_keeps_results(app):
    tasks = app.tasks
    with start_worker(app, perform_ping_check=False):
        one = tasks["add"].delay(2, 3)
        assert one.get(timeout=20) == 5
        assert (one.name, app.backend.get_task_meta(one.id)["result"]) == ("add", 5)
        failed = tasks["fails"].delay()
        with pytest.raises(ValueError, match="on purpose"):
            failed.get(timeout=20)
        assert "ValueError" in failed.traceback
        assert chord([tasks["add"].s(n, n) for n in range(3)], tasks["total"].s()).delay().get(timeout=30) == 6
        several = group(tasks["add"].s(n, 1) for n in range(3)).delay()
        assert several.get(timeout=20) == [1, 2, 3]
    several.save()
    assert app.GroupResult.restore(several.id).get() == [1, 2, 3]
    several.delete()
    assert app.GroupResult.restore(several.id) is None
    one.forget()
    assert one.state == "PENDING"


def test_a_stored_success_stays(app):
    app.backend.store_result("one", 1, "SUCCESS")
    if isinstance(app.backend, Files):
        app.backend.store_result("one", 2, "FAILURE")
        assert app.AsyncResult("one").result == 1


@pytest.mark.parametrize(("kind", "raised"), [("type", RefusedError), ("net", OperationalError)])
def test_errors_of_a_program_s_own_class(kind, raised):
    app = made(result_backend=f"{HERE}:Broken+x://{kind}")
    with pytest.raises(raised, match="result backend Broken: "):
        app.AsyncResult("one").state


class Counting(Kept):
    def on_chord_part_return(self, request, state, result, **kwargs):
        return None


class Incrementing(KeyValueStoreBackend):
    implements_incr = True

    def incr(self, key):
        return 1


@pytest.mark.parametrize(("backend", "method"), [(Counting, "on_chord_part_return"), (Incrementing, "incr")])
def test_methods_that_count_chords_are_named(backend, method):
    text = f"{backend.__name__} is a result backend whose {method} canvas does not call"
    with pytest.warns(UserWarning, match=text):
        made(result_backend=backend).backend
