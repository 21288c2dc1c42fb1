"""Retries by themselves, time limits, STARTED: the same on a Celery worker and on ours, in the pool that has them."""

import pytest

from tests.support.apps import make
from tests.support.ledger import Bench
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module", params=["canvas", "celery"])
def prefork(request):
    with RedisServer() as server:
        bench = Bench(server)
        broker, backend, ledger = bench.urls()
        with WorkerProcess(request.param, broker, backend, "-P", "prefork", "-c", "2", ledger=ledger) as worker:
            app = make("canvas", broker, backend, ledger=ledger)
            yield app, bench, worker
            app.close()


def test_tasks_retry_by_themselves(pair):
    key = pair.bench.new_key()
    assert pair.run(pair.s("auto", 2, key)) == 2
    assert pair.bench.ledger(key, 3) == ["0", "1", "2"]


def test_a_task_that_is_called_as_a_function_has_a_request_of_its_own(pair):
    """Its retry is nobody's: it raises what it was to be retried for."""
    key = pair.bench.new_key()
    assert pair.run(pair.s("outer", "value", key)) == [["value", None, True, 0, ["value"]], True, False]
    with pytest.raises(ValueError, match="inner"):
        pair.run(pair.s("outer", "retry", key))
    assert pair.bench.ledger(key, 2) == ["outer", "outer"]
    assert pair.run(pair.app.tasks["t.inner"].map(["a", "b"])) == [[x, None, True, 0, [x]] for x in "ab"]
    with pytest.raises(ValueError, match="inner"):
        pair.run(pair.app.tasks["t.inner"].map(["a", "retry"]))


def test_a_task_that_calls_itself_keeps_its_request(pair):
    called = [True, False]
    assert pair.run(pair.s("again", 2)) == [[*called, [2]], [*called, [1]], [*called, [0]]]


def test_the_last_failure_is_the_result(pair):
    key = pair.bench.new_key()
    with pytest.raises(KeyError, match="again"):
        pair.run(pair.s("auto", 9, key))
    assert len(pair.bench.ledger(key, 4)) == 4


def test_exceptions_that_are_left_out(pair):
    key = pair.bench.new_key()
    with pytest.raises(KeyError, match="never again"):
        pair.run(pair.s("auto_not", key))
    assert len(pair.bench.ledger(key, 1)) == 1


def test_a_retry_that_is_not_thrown_is_sent_all_the_same(pair):
    key = pair.bench.new_key()
    assert pair.run(pair.s("retry_beside", key)) == "done"
    assert pair.bench.ledger(key, 2) == ["0", "1"]


def test_a_retry_without_a_reason_is_stored_without_one(pair):
    told = []  # Celery's client is told of other tasks of its process too
    result = pair.s("traced_twice", 1, pair.bench.new_key()).apply_async()
    assert result.get(timeout=10, on_message=told.append) == 2
    own = {(meta["status"], meta["result"]) for meta in told if meta["task_id"] == result.id}
    assert own == {("RETRY", None), ("SUCCESS", 2)}


def test_a_retry_that_is_raised_later_is_sent_once(pair):
    key = pair.bench.new_key()
    assert pair.run(pair.s("retry_raised", key)) == "done"
    assert pair.run(pair.s("ident", 1)) == 1
    assert pair.bench.ledger(key, 2) == ["0", "1"]


def test_a_retry_that_is_returned_is_a_retry(pair):
    if pair.worker == "celery":
        pytest.skip("Celery sends it, and fails to store the Retry")
    assert pair.run(pair.s("retry_returned")) == "again"


@pytest.mark.parametrize(
    ("reason", "ends_with"), [("text", Exception), ("class", LookupError), ("exception", LookupError)]
)
def test_the_reason_of_a_retry_is_an_exception_a_class_or_text(pair, reason, ends_with):
    if pair.worker == "celery" and reason == "class":
        pytest.skip(
            "Celery's worker cannot store the state RETRY with a class, and stores FAILURE before the retry runs"
        )
    key = pair.bench.new_key()
    with pytest.raises(ends_with):
        pair.run(pair.s("retry_for", reason, key))
    assert pair.bench.ledger(key, 2) == ["0", "1"]


def test_a_retry_that_sends_nothing_is_a_failure_that_says_so(pair):
    if pair.worker == "celery":
        pytest.skip("Celery's workers store RETRY, and nothing follows")
    with pytest.raises(Exception, match=r"no call to send.*raise self\.retry"):
        pair.run(pair.s("retry_for", "without self.retry", pair.bench.new_key()))


def test_the_start_is_stored(pair):
    key = pair.bench.new_key()
    pair.run(pair.s("tracked", key))
    assert pair.bench.ledger(key, 1) == ["STARTED"]


def test_a_soft_limit_raises_in_the_task(prefork):
    app, bench, _ = prefork
    key = bench.new_key()
    assert app.tasks["t.patient"].apply_async((30, key), soft_time_limit=1).get(timeout=20) == "cut short"
    assert bench.ledger(key, 1) == ["soft"]


def test_a_soft_limit_that_nobody_catches_is_the_failure(prefork):
    app, _, _ = prefork
    result = app.tasks["t.sleep"].apply_async((30,), soft_time_limit=1)
    with pytest.raises(Exception) as caught:
        result.get(timeout=20)
    assert (type(caught.value).__name__, caught.value.args) == ("SoftTimeLimitExceeded", ())


def test_a_hard_limit_ends_the_task_and_the_chain(prefork):
    app, bench, _ = prefork
    slow = app.tasks["t.sleep"].s(60).set(time_limit=1)
    result = (slow | app.tasks["t.ident"].s()).apply_async()
    assert bench.wait_state(app, result.id) == "FAILURE"
    with pytest.raises(Exception) as caught:
        result.parent.get(timeout=20)
    assert type(caught.value).__name__ == "TimeLimitExceeded"
    assert app.tasks["t.add"].delay(1, 1).get(timeout=20) == 2
