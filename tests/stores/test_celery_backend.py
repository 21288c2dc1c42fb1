"""``app.backend`` as code written for Celery calls it, on every store; beside Celery's own backend where it has one."""

import uuid

import pytest

from canvas.errors import TimeoutError
from tests.support.apps import make

STORES = ["redis_url", "memcached_url", "file_url", "sqlite_file", "memory"]


@pytest.fixture
def sqlite_file(tmp_path):
    return f"db+sqlite:///{tmp_path}/results.db"


@pytest.fixture
def memory():
    return f"memory://{uuid.uuid4()}"


@pytest.fixture(params=STORES)
def url(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def backend(url):
    app = make("canvas", f"memory://{uuid.uuid4()}", url)
    yield app.backend
    app.close()


@pytest.fixture
def theirs(url):
    """Celery's backend of the same results; canvas' own again for memory."""
    library = "canvas" if url.startswith("memory") else "celery"
    app = make(library, "memory://", url)
    yield app.backend
    app.close()


def test_states_are_marked_as_celery_marks_them(backend, theirs):
    backend.mark_as_started("started", pid=7)
    backend.mark_as_done("done", 3, None, True, "SUCCESS")
    backend.mark_as_failure("failed", KeyError("k"), "here", None, True, False)
    backend.mark_as_retry("retried", ValueError("again"), "there")
    backend.mark_as_revoked("revoked", "stopped")
    backend.mark_as_done("unkept", 3, store_result=False)
    for task_id in ("started", "done", "failed", "retried", "revoked", "unkept"):
        ours, expected = backend._get_task_meta(task_id), theirs.get_task_meta(task_id)
        for name in ("status", "traceback", "children"):
            assert ours.get(name) == expected.get(name), (task_id, name)
        assert repr(ours["result"]) == repr(expected["result"])
        assert backend.get_state(task_id) == theirs.get_state(task_id)
        assert repr(backend.get_result(task_id)) == repr(theirs.get_result(task_id))
    try:
        raise ZeroDivisionError("zero")
    except ZeroDivisionError:
        backend.fail_from_current_stack("current")
    assert "ZeroDivisionError: zero" in theirs.get_traceback("current")
    with pytest.raises(ValueError, match="no exception is being handled"):
        backend.fail_from_current_stack("none")


def test_values_are_written_and_read(backend, theirs):
    data = {"a": [1, None, "\u00e4"]}
    assert backend.decode(theirs.encode(data)) == theirs.decode(backend.encode(data)) == data
    written = backend.prepare_exception(ValueError("no"))
    assert repr(backend.exception_to_python(written)) == repr(theirs.exception_to_python(written)) == "ValueError('no')"


def test_records_by_their_keys(backend, url):
    key = backend.get_key_for_task("a")
    record = backend.encode({"status": "SUCCESS", "result": 5, "traceback": None, "children": [], "task_id": "a"})
    assert backend.get(key) is None
    backend.set(key, record)
    backend.set(key.decode(), backend.encode({"status": "FAILURE", "result": None, "task_id": "a"}))
    assert backend.decode_result(backend.get(key))["result"] == 5
    assert [value is None for value in backend.mget([key, backend.get_key_for_task("b")])] == [False, True]
    backend.delete(key)
    assert (backend.get(key), backend.task_result_exists("a")) == (None, False)
    group = backend.get_key_for_group("g")
    backend.set(group, backend.encode({"result": [["g", None], []]}))
    assert backend.decode(backend.get(group))["result"][0][0] == "g"
    backend.delete(group)
    assert backend.get(group) is None
    with pytest.raises(ValueError, match="task_id must not be empty"):
        backend.get_key_for_task("")
    if url.startswith(("redis", "cache", "file")):
        backend.set("of-mine", b"value")
        assert backend.get(b"of-mine") == b"value"
        backend.delete("of-mine")
        assert backend.get("of-mine") is None
    else:
        with pytest.raises(NotImplementedError, match="keeps records and groups only: use keys of get_key_for_task"):
            backend.set("of-mine", b"value")


def test_the_library_s_client(backend, url):
    if url.startswith(("redis", "cache")):
        backend.client.set("direct", b"1")
        assert backend.get("direct") == b"1"
    else:
        with pytest.raises(AttributeError, match="has no client; read results by AsyncResult"):
            _ = backend.client


def test_results_as_they_come(backend):
    backend.mark_as_done("a", 1)
    seen = []
    found = backend.get_many(["a", "b"], timeout=0.2, on_message=seen.append)
    assert next(found)[0] == "a"
    assert seen[0]["result"] == 1
    with pytest.raises(TimeoutError, match="1 results are not ready"):
        next(found)


def test_the_rest(backend, url):
    result = object()
    assert backend.add_pending_result(result) is backend.remove_pending_result(result) is result
    assert backend.supports_native_join
    assert backend.as_uri() == url
    assert backend.on_task_call(None, "a") == {}
    backend.process_cleanup()
    backend.cleanup()
