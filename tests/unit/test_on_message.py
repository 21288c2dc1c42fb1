"""``on_message`` of ``get()``: each record once, although a wait both reads records and receives them."""

import asyncio

import pytest

from canvas import Canvas, ResultSet
from canvas.result.wait_rules import without_echo


def meta(task_id, state, result=None):
    return {"task_id": task_id, "status": state, "result": result}


def test_the_announcement_of_a_record_that_was_read_counts_once():
    calls = []
    call = without_echo(calls.append)
    half, done = meta("a", "PROGRESS", 50), meta("a", "SUCCESS", 1)
    for found in (half, dict(half), meta("b", "PROGRESS", 50), done):
        call(found)
    assert calls == [half, meta("b", "PROGRESS", 50), done]


def test_equal_records_that_come_later_count_each():
    calls = []
    call = without_echo(calls.append)
    records = [meta("a", "STARTED"), *[meta("a", "PROGRESS", 50)] * 3, meta("a", "SUCCESS", 1)]
    for found in records:
        call(found)
    assert calls == records


def test_none_stays_none():
    assert without_echo(None) is None


@pytest.mark.parametrize("wait", ["get", "aget"])
@pytest.mark.parametrize("several", [False, True], ids=["one", "set"])
def test_each_record_of_a_wait_is_passed_on(wait, several):
    app = Canvas("messages", broker="memory://on-message", backend="memory://on-message")
    app.backend.store_result("a", {"step": 1}, "PROGRESS")
    result, seen = app.AsyncResult("a"), []

    def look(found):
        seen.append(found["status"])
        app.backend.store_result("a", 7, "SUCCESS")

    waited = ResultSet([result]) if several else result
    value = (
        waited.get(timeout=20, on_message=look)
        if wait == "get"
        else asyncio.run(waited.aget(timeout=20, on_message=look))
    )
    assert (value, seen) == ([7] if several else 7, ["PROGRESS", "SUCCESS"])
    app.close()
