"""Tasks that await results: refused as ``get()`` is, where that blocks the place; else under any load."""

import asyncio
import signal

import pytest

from canvas import AsyncResult, Canvas, group
from canvas.errors import SoftTimeLimitExceeded, WorkerLostError
from tests.support.awaiting import make
from tests.support.warned import warnings_are_errors
from tests.worker.commands import start

REFUSED = ("awaits", "awaits_group", "awaits_beside", "awaits_in_sync", "awaits_on_a_thread")


@pytest.fixture
def app(bench):
    bench.empty()
    app = make(*bench.urls())
    yield app
    app.close()


def serve(bench, *arguments):
    return start(bench, *arguments, app="tests.support.awaiting:app")


@pytest.mark.parametrize("pool", [("prefork", "-c", "1"), ("solo",), ("threads", "-c", "2")], ids=lambda pool: pool[0])
def test_awaiting_in_a_task_is_refused_where_it_holds_a_slot(bench, app, pool):
    worker = serve(bench, "-P", *pool).ready()
    for name in REFUSED:
        for refused in [app.tasks[name].delay(1) for _ in range(3)]:
            with pytest.raises(RuntimeError, match="never await a result there"):
                refused.get(timeout=20)
    assert app.tasks["add"].delay(1, 1).get(timeout=20) == 2
    if pool[0] == "threads":
        assert app.tasks["allowed"].delay(1).get(timeout=20) == 2
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_tasks_on_a_loop_give_their_place_away_while_they_await(bench, app):
    with serve(bench, "-P", "asyncio", "-c", "2"):
        awaits, beside = app.tasks["awaits"], app.tasks["awaits_beside"]
        assert group(awaits.s(i) for i in range(50)).delay().get(timeout=60) == [i + 1 for i in range(50)]
        assert group(beside.s(i) for i in range(20)).delay().get(timeout=60) == [[i, i + 1, i + 2] for i in range(20)]
        assert app.tasks["awaits_group"].delay(1).get(timeout=20) == [1, 2, 3]
        assert app.tasks["allowed"].delay(1).get(timeout=20) == 2
        assert app.tasks["deep"].delay(20).get(timeout=30) == 20
        crowd = group(app.tasks["crowded"].s(i) for i in range(30)).delay().get(timeout=60)
        assert [x for x, _ in crowd] == [i + 2 for i in range(30)]
        assert max(most for _, most in crowd) == 2
        for name in ("awaits_in_sync", "awaits_on_a_thread"):
            with pytest.raises(RuntimeError, match="never await a result there"):
                app.tasks[name].delay(1).get(timeout=20)
        for limited in [app.tasks["limited"].delay() for _ in range(4)]:
            with pytest.raises(SoftTimeLimitExceeded):
                limited.get(timeout=20)
        assert group(awaits.s(i) for i in range(4)).delay().get(timeout=20) == [1, 2, 3, 4]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["warm", "cold"])
def test_a_worker_stops_though_its_tasks_await_results_that_do_not_come(bench, app, number):
    """Their messages go back; a message that is acked already ends in a failure, where there is time for that."""
    key = bench.new_key()
    worker = serve(bench, "-P", "asyncio", "-c", "1").ready()
    early = [app.tasks["early"].delay(key), app.tasks["early"].delay(key)]
    late = [app.tasks["late"].delay(key), app.tasks["late"].delay(key)]
    bench.ledger(key, 4)
    worker.signal(number)
    assert worker.wait(30) == (0 if number == signal.SIGTERM else 1)
    if number == signal.SIGTERM:
        for one in early:
            with pytest.raises(WorkerLostError, match="while it awaited the result of another task"):
                one.get(timeout=20)
    assert bench.broker.llen("celery") == 2
    app.backend.store_result(f"open-{key}", "there", "SUCCESS")
    with serve(bench, "-P", "asyncio", "-c", "1"):
        assert [one.get(timeout=20) for one in late] == ["there", "there"]


def test_a_warm_stop_waits_for_what_comes(bench, app):
    key = bench.new_key()
    worker = serve(bench, "-P", "asyncio", "-c", "1").ready()
    results = [app.tasks["late"].delay(key), app.tasks["early"].delay(key)]
    bench.ledger(key, 2)
    worker.signal(signal.SIGTERM)
    worker.wait_for("Warm shutdown")
    app.backend.store_result(f"open-{key}", "there", "SUCCESS")
    assert worker.wait(30) == 0
    assert [one.get(timeout=20) for one in results] == ["there", "there"]


def test_a_blocking_wait_on_an_event_loop_warns():
    app = Canvas("warns", broker="memory://warns", backend="memory://warns", set_as_current=False)
    app.backend.store_result("one", 1, "SUCCESS")

    async def wait(get):
        return get()

    with pytest.warns(RuntimeWarning, match="use `await result.aget") as found:
        assert asyncio.run(wait(AsyncResult("one", app=app).get)) == 1
    assert found[0].filename == __file__
    with pytest.warns(RuntimeWarning, match="blocks the running event loop"):
        asyncio.run(wait(app.GroupResult("g", [AsyncResult("one", app=app)]).get))
    with warnings_are_errors():
        assert AsyncResult("one", app=app).get() == 1
        assert asyncio.run(AsyncResult("one", app=app).aget()) == 1
    app.close()
