"""Result handles over the memory driver: looking, waiting, raising, lineage (semantics.md §4)."""

import asyncio
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas import AsyncResult, Canvas, EagerResult, GroupResult, ResultSet
from canvas.errors import ChordError, ConfigurationError, OperationalError, RemoteError, TimeoutError
from canvas.result import allow_join_result, denied_join_result, result_from_tuple
from tests.unit.stored import fail, later, results_app, succeed


@pytest.fixture
def app():
    return results_app()


def test_unknown_is_pending(app):
    result = app.AsyncResult("none")
    assert (result.state, result.ready(), result.result, result.children) == ("PENDING", False, None, None)


def test_states_and_values(app):
    result = app.AsyncResult("a")
    app.backend.store_result("a", {"done": 3}, "PROGRESS")
    assert (result.state, result.info, result.ready()) == ("PROGRESS", {"done": 3}, False)
    succeed(app, "a", 7)
    assert (result.state, result.get(), result.successful(), result.failed()) == ("SUCCESS", 7, True, False)
    assert result.date_done


def test_a_final_state_is_kept(app):
    succeed(app, "a", 7)
    result = app.AsyncResult("a")
    assert result.get() == 7
    app.backend.forget("a")
    assert result.get() == 7
    result.forget()
    assert result.state == "PENDING"


def test_get_waits_for_the_record(app):
    result = app.AsyncResult("a")
    later(succeed, app, "a", 7)
    assert result.get(timeout=10) == 7


def test_get_runs_out_of_time(app):
    with pytest.raises(TimeoutError, match=r"a is not ready after 0\.05 s"):
        app.AsyncResult("a").get(timeout=0.05)
    with pytest.raises(builtins_timeout()):
        app.AsyncResult("a").get(timeout=0)


def builtins_timeout():
    import builtins

    return builtins.TimeoutError


def test_failures_are_raised_with_their_remote_traceback(app):
    fail(app, "a", ValueError("boom", 42))
    result = app.AsyncResult("a")
    with pytest.raises(ValueError, match="boom") as caught:
        result.get()
    assert caught.value.args == ("boom", 42)
    assert "Traceback: remote" in caught.value.__notes__[0]
    assert result.get(propagate=False).args == ("boom", 42)
    assert (result.failed(), result.traceback) == (True, "Traceback: remote")


def test_unknown_exception_classes(app):
    class Odd(Exception):
        pass

    Odd.__module__ = "gone"
    fail(app, "a", Odd("x"))
    with pytest.raises(RemoteError, match="Odd"):
        app.AsyncResult("a").get()


def test_states_on_the_way_are_told(app):
    told = []

    def tell(message):
        told.append(message["status"])
        if told == ["STARTED"]:
            succeed(app, "a", 1)

    app.backend.store_result("a", None, "STARTED")
    app.AsyncResult("a").get(timeout=10, on_message=tell)
    assert told == ["STARTED", "SUCCESS"]


def test_an_ancestors_failure_ends_the_wait(app):
    group = app.GroupResult("g", [app.AsyncResult("m1"), app.AsyncResult("m2")], parent=app.AsyncResult("first"))
    result = app.AsyncResult("last", parent=group)
    later(fail, app, "m2", KeyError("gone"))
    with pytest.raises(KeyError):
        result.get(timeout=10)
    assert result.state == "PENDING"
    with pytest.raises(TimeoutError):
        result.get(timeout=0.05, follow_parents=False)


def test_the_failure_of_an_ancestor_goes_before_its_own(app):
    parent = app.GroupResult("g", [app.AsyncResult("m1"), app.AsyncResult("m2")])
    succeed(app, "m1", 1)
    fail(app, "m2", KeyError("gone"))
    fail(app, "body", ChordError("m2 failed"))
    for wait in (lambda r: r.get(timeout=10), lambda r: asyncio.run(r.aget(timeout=10))):
        with pytest.raises(KeyError):
            wait(app.AsyncResult("body", parent=parent))
    with pytest.raises(ChordError):
        app.AsyncResult("body", parent=parent).get(timeout=10, follow_parents=False)
    assert app.AsyncResult("body", parent=parent).get(timeout=10, propagate=False).args == ("m2 failed",)


def test_the_failure_of_an_ancestor_may_be_of_our_own_kind(app):
    """It is not taken for a server that is away."""
    fail(app, "first", OperationalError("the task's own"))
    result = app.AsyncResult("last", parent=app.AsyncResult("first"))
    for wait in (lambda: result.get(timeout=10), lambda: asyncio.run(result.aget(timeout=10))):
        with pytest.raises(OperationalError, match="the task's own"):
            wait()


@pytest.mark.parametrize(
    ("settings", "success"),
    [
        ({}, True),
        ({"result_serializer": "msgpack", "accept_content": ["msgpack"]}, True),
        ({"result_compression": "gzip"}, False),
    ],
)
def test_the_beginning_of_a_record_tells_of_success(app, settings, success):
    app = Canvas("res", broker="memory://res", backend="memory://res", **settings)
    for task_id, state in [("good", "SUCCESS"), ("bad", "FAILURE"), ("on its way", "STARTED")]:
        app.backend.store_result(task_id, ValueError("x") if state == "FAILURE" else None, state)
    assert app.backend.succeeded(["good", "bad", "on its way", "unknown"]) == [success, False, False, None]
    with pytest.raises(ValueError, match="x"):
        app.AsyncResult("last", parent=app.AsyncResult("bad", parent=app.AsyncResult("good"))).get(timeout=10)


def test_callbacks(app):
    succeed(app, "a", 7)
    called = []
    app.AsyncResult("a").get(callback=lambda task_id, value: called.append((task_id, value)))
    assert called == [("a", 7)]


def test_children_and_collect(app):
    child, members = app.AsyncResult("child"), [app.AsyncResult("m")]
    with_children = [child.as_tuple(), app.GroupResult("g", members).as_tuple()]
    from canvas.model.record import Record

    app.backend._results.store([app.backend.store_of(Record("a", "SUCCESS", 1, None, with_children))])
    for task_id in ("child", "m"):
        succeed(app, task_id, task_id)
    result = app.AsyncResult("a")
    assert [c.id for c in result.children] == ["child", "g"]
    assert [(r.id, v) for r, v in result.collect()] == [("a", 1), ("child", "child"), ("g", ["m"]), ("m", "m")]
    assert {node.id: [n.id for n in after] for node, after in result.graph.items()}["a"] == ["child", "g"]


def test_tuples_both_ways(app):
    chain = app.AsyncResult("c", parent=app.GroupResult("g", [app.AsyncResult("m")], parent=app.AsyncResult("a")))
    structure = chain.as_tuple()
    assert structure == (("c", (("g", (("a", None), None)), [(("m", None), None)])), None)
    again = result_from_tuple(structure, app)
    assert again.as_tuple() == structure
    assert again.root.id == "a"
    assert again.as_list() == ["c", "g", "a"]


def test_long_chains_of_results(app):
    result = None
    for n in range(5000):
        result = AsyncResult(str(n), app=app, parent=result)
    assert result.root.id == "0"
    assert result_from_tuple(result.as_tuple(), app).root.id == "0"


async def test_results_are_awaited(app):
    later(succeed, app, "a", 7)
    assert await app.AsyncResult("a") == 7
    later(succeed, app, "b", 8)
    assert await app.GroupResult("g", [app.AsyncResult("a"), app.AsyncResult("b")]) == [7, 8]
    with pytest.raises(TimeoutError):
        await app.AsyncResult("c").aget(timeout=0.05)
    fail(app, "d", ValueError("d"))
    with pytest.raises(ValueError, match="d"):
        await app.AsyncResult("d")
    many = [app.AsyncResult(f"m{n}") for n in range(50)]
    waiting = [asyncio.ensure_future(r.aget(timeout=10)) for r in many]
    await asyncio.sleep(0)
    for n, r in enumerate(many):
        succeed(app, r.id, n)
    assert await asyncio.gather(*waiting) == list(range(50))


def test_many_threads_wait(app):
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(app.AsyncResult(f"t{n}").get, 10) for n in range(20)]
        for n in range(20):
            succeed(app, f"t{n}", n)
        assert [w.result() for w in waiting] == list(range(20))


def test_no_waiting_inside_tasks(app):
    succeed(app, "a", 1)
    with denied_join_result():
        with pytest.raises(RuntimeError, match="within a task"):
            app.AsyncResult("a").get()
        with pytest.raises(RuntimeError):
            app.GroupResult("g", [app.AsyncResult("a")]).get()
        assert app.AsyncResult("a").get(disable_sync_subtasks=False) == 1
        with allow_join_result():
            assert app.AsyncResult("a").get() == 1


def test_eager_results():
    done, failed = EagerResult("a", 7, "SUCCESS"), EagerResult("b", ValueError("x"), "FAILURE")
    assert (done.get(), done.state, done.ready(), failed.failed()) == (7, "SUCCESS", True, True)
    with pytest.raises(ValueError, match="x"):
        failed.get()
    assert pickle.loads(pickle.dumps(done)).get() == 7


def test_handles_compare_and_print(app):
    result = app.AsyncResult("a")
    assert result == AsyncResult("a") == "a"
    assert len({result, AsyncResult("a")}) == 1
    assert (str(result), repr(result)) == ("a", "<AsyncResult: a>")
    assert pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(ValueError, match="task id"):
        AsyncResult(None)


def test_without_a_result_backend():
    app = Canvas("none", broker="memory://none")
    with pytest.raises(ConfigurationError, match="result_backend"):
        app.AsyncResult("a").get()


def test_extended_records_are_so_in_every_state(app):
    app.conf.result_extended = True
    app.__dict__.pop("backend", None)

    @app.task(bind=True, name="progress")
    def progress(self, x):
        self.update_state(state="PROGRESS", meta={"done": x})
        return app.AsyncResult(self.request.id).record().extra

    with pytest.raises(ValueError, match="task_id must not be empty"):
        progress(3)
    found = progress.apply((3,), task_id="extended").get()
    assert (found["name"], found["args"], found["retries"]) == ("progress", [3], 0)


def test_who_waits_is_heard_from_now_and_then(app):
    seen = []
    for never in (app.AsyncResult("never"), ResultSet([app.AsyncResult("never")], app=app)):
        beats, began = [], time.monotonic()
        with pytest.raises(TimeoutError):
            never.get(timeout=1.2, on_interval=lambda beats=beats: beats.append(1))
        assert 1 <= len(beats) <= (time.monotonic() - began) / 0.5
    assert not app.AsyncResult("kept").exists()
    app.backend.store_result("kept", 1, "SUCCESS")
    assert app.AsyncResult("kept").exists()
    app.AsyncResult("kept").get(on_message=seen.append)
    ((_, native),) = ResultSet([app.AsyncResult("kept")], app=app).iter_native()
    assert seen == [native] == [app.backend.get_task_meta("kept")]
    assert {"traceback", "children", "date_done"} <= set(native)
    with pytest.raises(TypeError, match="timout"):
        app.AsyncResult("kept").get(timout=1)
    assert str(GroupResult("g", [], app=app)) == "g"
