"""Settings of result stores: canvas and Celery, with the same settings, read what the other writes."""

from datetime import timedelta

import celery
import pytest
from sqlalchemy import create_engine, inspect

from canvas import Canvas
from tests.support.memcached import MemcachedServer

VALUES = {"plain": 1, "text": "naïve ☃", "nested": {"a": [1, None, {"b": 2.5}]}, "large": "x" * 10_000}
RETRIES = {"result_backend_always_retry": True, "result_backend_max_retries": 2}
SQL = {
    "short sessions": {"database_short_lived_sessions": True, "result_extended": True},
    "names": {"database_table_names": {"task": "my_tasks", "group": "my_groups"}},
    "others": {
        **RETRIES, "result_backend_thread_safe": True, "database_engine_options": {"echo": False, "pool_recycle": 60},
    },
}  # fmt: skip
PATHS = ["with space", "naïve", "100%25", "a+b", "deep/er/still"]
LIFETIMES = {"default": {}, "none": {"result_expires": None}, "zero": {"result_expires": 0},
             "seconds": {"result_expires": 90}, "timedelta": {"result_expires": timedelta(hours=2)},
             "float": {"result_expires": 90.7}}  # fmt: skip


@pytest.fixture
def both():
    """Makes an app of each library; a Redis broker that nobody reaches is enough."""
    made = []

    def make(url, **settings):
        for library in (Canvas, celery.Celery):
            app = library("variations", broker="memory://", backend=url, set_as_current=False)
            app.conf.update(settings)
            made.append(app)
        return made[-2:]

    yield make
    for app in made:
        app.close()


def check(ours, theirs):
    """Each reads and forgets what the other stores."""
    for writer, reader, name in ((ours, theirs, "o"), (theirs, ours, "t")):
        for key, value in VALUES.items():
            writer.backend.store_result(f"{name}-{key}", value, "SUCCESS")
        writer.backend.store_result(f"{name}-failed", ValueError("why"), "FAILURE", traceback="trace")
        assert {key: reader.AsyncResult(f"{name}-{key}").get(timeout=5) for key in VALUES} == VALUES
        failed = reader.AsyncResult(f"{name}-failed")
        assert (failed.state, repr(failed.result), failed.traceback) == ("FAILURE", "ValueError('why')", "trace")
        reader.AsyncResult(f"{name}-plain").forget()
        assert reader.AsyncResult(f"{name}-plain").state == "PENDING"


@pytest.mark.parametrize("settings", SQL.values(), ids=SQL)
def test_databases(both, tmp_path, settings):
    check(*both(f"db+sqlite:///{tmp_path}/results.db", **settings))
    tables = inspect(create_engine(f"sqlite:///{tmp_path}/results.db")).get_table_names()
    names = settings.get("database_table_names", {}).get("task", "celery_taskmeta")
    assert names in tables


def test_schemas_of_postgresql(both, postgres):
    url = postgres.new_database()
    with create_engine(url[3:]).begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA results")
    check(*both(url, database_table_schemas={"task": "results", "group": "results"}))
    found = inspect(create_engine(url[3:]))
    assert "celery_taskmeta" in found.get_table_names("results")
    assert "celery_taskmeta" not in found.get_table_names()


def test_several_servers_of_memcached(both, memcached):
    with MemcachedServer() as second:
        place = second.url.removeprefix("cache+memcached://").strip("/")
        check(*both(f"{memcached.url.rstrip('/')};{place}/"))


@pytest.mark.parametrize("prefix", ["pre:", "a_b"])
def test_prefixes_of_keys_in_redis(both, own_server, prefix):
    own_server.client(0).flushdb()
    options = {"global_keyprefix": prefix}
    check(*both(own_server.url(0), result_backend_transport_options=options))
    keys = [key.decode() for key in own_server.client(0).keys()]
    assert keys and all(key.startswith(prefix) for key in keys)


@pytest.mark.parametrize("folder", PATHS)
def test_paths_of_files(both, tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    check(*both(f"file://{tmp_path}/{folder}"))


@pytest.mark.parametrize("settings", LIFETIMES.values(), ids=LIFETIMES)
def test_lifetimes(both, own_server, settings):
    client = own_server.client(0)
    client.flushdb()
    apps = both(own_server.url(0), **settings)
    ttls = []
    for app, task_id in zip(apps, "ot", strict=True):
        app.backend.store_result(task_id, 1, "SUCCESS")
        ttls.append(client.ttl(f"celery-task-meta-{task_id}"))
    assert abs(ttls[0] - ttls[1]) <= 1


@pytest.mark.parametrize("serializer", ["pickle", "yaml", "msgpack"])
def test_what_a_client_accepts_of_results(both, own_server, serializer):
    url = own_server.url(0)
    own_server.client(0).flushdb()
    settings = {"result_serializer": serializer, "accept_content": ["json"]}
    check(*both(url, **settings, result_accept_content=["json", serializer]))


@pytest.mark.parametrize("store", ["redis", "file"])
def test_what_a_client_does_not_accept_of_results(both, own_server, tmp_path, store):
    """A client does not unpickle what anybody may have written: the serializer of its own results is not accepted
    because of that."""
    url = own_server.url(0) if store == "redis" else f"file://{tmp_path}"
    for app, task_id in zip(both(url, result_serializer="pickle", accept_content=["json"]), "ot", strict=True):
        app.backend.store_result(task_id, 1, "SUCCESS")
        with pytest.raises(Exception, match="pickle") as caught:
            app.AsyncResult(task_id).get(timeout=5)
        assert type(caught.value).__name__ == "ContentDisallowed"
