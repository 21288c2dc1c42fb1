"""Rates, concurrency keys and unique tasks: who must wait, waits in the broker and holds no slot."""

import pytest

from canvas import Canvas
from canvas.errors import ConfigurationError, DuplicateTask
from canvas.testing.contract import eventually
from tests.support.timing import quickest
from tests.worker.commands import start, task


def rate(times):
    """Runs a second, between the first and the last."""
    times = sorted(map(float, times))
    return (len(times) - 1) / (times[-1] - times[0])


@pytest.mark.parametrize("library", [pytest.param("celery", marks=pytest.mark.slow), "canvas"])
def test_a_rate_is_kept_as_celery_keeps_it(bench, app, library):
    key, other = bench.new_key(), bench.new_key()
    for _ in range(11):
        task(app, "paced").delay(key)
    task(app, "clocked").delay(other)
    with start(bench, "-P", "solo", library=library):
        times = bench.ledger(key, 11)
        # Nothing waits behind those that wait.
        assert float(bench.ledger(other, 1)[0]) < max(map(float, times))
        # A busy machine may make it slower, as does Celery's solo pool, which sleeps between prefetched messages.
        assert 1 < rate(times) < 6


@pytest.mark.parametrize("pool", [("prefork", "-c", "3"), pytest.param(("threads", "-c", "3"), marks=pytest.mark.slow)])
def test_a_rate_is_that_of_the_whole_node(bench, app, pool):
    key = bench.new_key()
    with start(bench, "-P", *pool, "-n", "one@here") as worker:
        for _ in range(11):
            task(app, "paced").delay(key)
        assert 1 < rate(bench.ledger(key, 11)) < 6
        reply = {"reply": True, "timeout": 20, "destination": ["one@here"]}
        assert app.control.rate_limit("t.paced", "100/s", **reply) == [
            {"one@here": {"ok": "new rate limit set successfully"}}
        ]

        def seconds_each():
            key = bench.new_key()
            for _ in range(21):
                task(app, "paced").delay(key)
            return 1 / rate(bench.ledger(key, 21))

        assert quickest(seconds_each, 1 / 6) < 1 / 6
        assert app.control.rate_limit("t.paced", 0, **reply) == [
            {"one@here": {"ok": "rate limit disabled successfully"}}
        ]
        worker.wait_for("New rate limit for tasks of type t.paced: 100/s.")
        worker.wait_for("Rate limits disabled for tasks of type t.paced")
        assert app.control.rate_limit("t.nobody", 1, **reply) == [{"one@here": {"error": "unknown task"}}]
        bad = app.control.rate_limit("t.paced", "often", **reply)[0]["one@here"]["error"]
        assert bad.startswith("Invalid rate limit string")


def test_a_global_rate_is_that_of_all_nodes(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "solo", "-n", "one@here"), start(bench, "-P", "solo", "-n", "two@here"):
        for _ in range(11):
            task(app, "paced_everywhere").delay(key)
        assert 1 < rate(bench.ledger(key, 11)) < 6


def test_a_rate_limited_task_in_a_workflow_keeps_its_place(bench, app):
    from canvas import chord

    with start(bench, "-P", "solo"):
        header = [task(app, "paced").s(bench.new_key()) for _ in range(4)]
        assert chord(header, task(app, "ident").s()).delay().get(timeout=20) == [None] * 4


def test_places_of_a_key(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "threads", "-c", "6"):
        for account in ("a", "b", "a", "b", "a", "b", "a"):
            task(app, "one_of_two").delay(account, key)
        assert sorted(bench.ledger(key, 4)) == ["+a", "+a", "+b", "+b"]
        # Slots are free for others meanwhile.
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
        assert len(bench.ledger(key, 4)) == 4
        bench.open(key)
        inside, most = {"a": 0, "b": 0}, {"a": 0, "b": 0}
        for note in bench.ledger(key, 14):
            account = note[1]
            inside[account] += 1 if note[0] == "+" else -1
            most[account] = max(most[account], inside[account])
        assert most == {"a": 2, "b": 2}
    assert not bench.broker.keys("canvas:p*")


def test_many_that_wait_for_one_place(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "threads", "-c", "4"):
        for _ in range(300):
            task(app, "alone").delay(key)
        assert bench.ledger(key, 600, timeout=40) == ["start", "end"] * 300


def test_a_dead_childs_place_is_free_again(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "prefork", "-c", "2"):
        dying = task(app, "alone").apply_async((key, True))
        waiting = [task(app, "alone").delay(key) for _ in range(3)]
        for result in waiting:
            result.get(timeout=40)
        assert bench.wait_state(app, dying.id, timeout=60) == "FAILURE"
    assert not bench.broker.keys("canvas:p*")


@pytest.mark.parametrize("pool", [("solo",), ("asyncio", "-c", "2")], ids=lambda pool: pool[0])
@pytest.mark.parametrize("late", [True, False], ids=["late", "early"])
def test_a_task_whose_key_cannot_be_read_fails_and_does_not_run(bench, app, pool, late):
    key, placed = bench.new_key(), task(app, "placed")
    with start(bench, "-P", *pool):
        failed = placed.apply_async((None, key), acks_late=late)
        assert bench.wait_state(app, failed.id) == "FAILURE"
        assert isinstance(failed.result, AttributeError)
        assert "in <lambda>" in failed.traceback
        unfit = app.send_task("t.placed", acks_late=late)
        with pytest.raises(TypeError, match="missing 2 required positional arguments"):
            unfit.get(timeout=20)
        placed.apply_async(("x", key), acks_late=late).get(timeout=20)
        # A lock is no matter of a workflow's steps, nor is what reads its key.
        assert (task(app, "ident").si([]) | task(app, "unique_of").s()).delay().get(timeout=20) == []
    assert len(bench.ledger(key, 1)) == 1
    assert bench.broker.hlen("unacked") == 0


def test_keys_are_those_of_the_arguments_as_they_came(bench, app):
    emptying = task(app, "emptying")
    with start(bench, "-P", "solo"):
        emptying.delay([1, 2]).get(timeout=20)
        assert not bench.broker.keys("canvas:unique:*")
        assert not bench.broker.keys("canvas:p*")


def test_a_unique_task_is_one_until_it_is_over(bench, app):
    key, unique = bench.new_key(), task(app, "unique")
    first = unique.delay("x", key)
    assert unique.delay("x", key).id == first.id
    assert unique.delay("x", key, fails=True).id == first.id
    other = unique.delay("y", key)
    assert other.id != first.id
    with start(bench, "-P", "solo"):
        first.get(timeout=20)
        failing = unique.delay("x", key, fails=True)
        assert failing.id != first.id
        assert bench.wait_state(app, failing.id) == "FAILURE"
        again = unique.delay("x", key)
        assert again.id not in (first.id, failing.id)
        again.get(timeout=20)
        assert len(bench.ledger(key, 4)) == 4
    assert not bench.broker.keys("canvas:unique:*")


def test_a_unique_task_may_be_one_only_until_it_starts(bench, app):
    key, unique = bench.new_key(), task(app, "unique_until_start")
    first = unique.delay(key)
    with pytest.raises(DuplicateTask, match=first.id) as refused:
        unique.delay(key)
    assert refused.value.task_id == first.id
    with start(bench, "-P", "solo"):
        bench.ledger(key, 1)
        assert unique.delay(key).id != first.id


def test_a_unique_task_may_stay_one_after_a_failure(bench, app):
    unique = task(app, "unique_until_success")
    with start(bench, "-P", "solo"):
        failed = unique.delay("x", fails=True)
        assert bench.wait_state(app, failed.id) == "FAILURE"
        assert unique.delay("x").id == failed.id
        unique.delay("y").get(timeout=20)
        eventually(lambda: len(bench.broker.keys("canvas:unique:*")) == 1)


def test_a_retry_keeps_the_lock(bench, app):
    key, unique = bench.new_key(), task(app, "unique_retried")
    with start(bench, "-P", "solo"):
        first = unique.delay(key)
        eventually(lambda: first.state == "RETRY")
        assert unique.delay(key).id == first.id
        bench.open(key)
        first.get(timeout=20)
        assert unique.delay(key).id != first.id


def test_a_lock_ends_with_its_time(bench, app):
    unique = task(app, "unique_for_a_moment")
    # A busy machine may not send twice within the time.
    once = eventually(lambda: first if (first := unique.delay().id) == unique.delay().id else None)
    eventually(lambda: unique.delay().id != once)


async def test_unique_on_an_event_loop(bench, app):
    unique = task(app, "unique")
    first = await unique.adelay("z", bench.new_key())
    assert (await unique.adelay("z", bench.new_key())).id == first.id


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate_limit": "often"}, "rate limit: expected a number or text such as"),
        ({"rate_limit_scope": "here"}, "rate_limit_scope: expected one of worker, global; got 'here'"),
        ({"unique_for": -1}, "unique_for: expected a number above 0; got -1"),
        ({"unique_for": 1, "unique_key": ["nobody"]}, "unique_key: expected a list of argument names of x"),
        ({"concurrency_limit": 1, "concurrency_key": "x"}, "concurrency_key: expected a list of argument names"),
        ({"unique_until": "later"}, "unique_until: expected one of finish, success, start, expiry"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(options, said):
    app = Canvas("refused", broker="memory://", backend="memory://")
    with pytest.raises(ConfigurationError, match=said):
        app.task(name="t", **options)(lambda x: x)
        app.tasks["t"]
