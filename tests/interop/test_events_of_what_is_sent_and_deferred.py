"""Events of what a worker sends and of what waits for its time, and what ``inspect scheduled`` shows, beside Celery."""

import datetime
import time
from collections import Counter

import pytest

from canvas.testing.contract import eventually
from tests.interop.test_events import Listener
from tests.support.apps import make
from tests.support.processes import WorkerProcess


def deferred(asking, listener):
    """A task with a countdown: its kinds of events before it is due and in the end, and what ``scheduled`` shows."""
    inspect = asking.control.inspect(destination=["one@here"], timeout=20)
    for countdown in (4, 20, 60):
        due = time.time() + countdown
        result = asking.tasks["t.add"].apply_async((1, 2), countdown=countdown)
        eventually(lambda sent=result: "task-received" in listener.kinds(sent.id))
        entry = eventually(lambda due=due: next(iter(inspect.scheduled()["one@here"]), None) or time.time() > due)
        found = inspect.query_task(result.id)["one@here"]
        early = listener.kinds(result.id)
        if time.time() < due:
            break  # it was asked in time, which a busy machine prevents
    assert result.get(timeout=90) == 3
    eventually(lambda: "task-succeeded" in listener.kinds(result.id))
    assert entry["request"]["id"] == result.id
    assert -1 < datetime.datetime.fromisoformat(entry["eta"]).timestamp() - due < 10
    assert list(found) == [result.id]
    return {"early": early, "late": listener.kinds(result.id), "entry": set(entry), "request": set(entry["request"])}


def sent(asking, listener, library):
    """How often which task was sent, by what a client and a worker say."""
    lib = __import__("celery")
    add = asking.tasks["t.add"]
    chain = lib.chain(add.s(1, 1), lib.group(add.s(2), add.s(3)), asking.tasks["t.tsum"].s())
    flaky = asking.tasks["t.flaky"].apply_async((2,), link=asking.tasks["t.ident"].s())
    assert chain.apply_async().get(timeout=20) == 9
    flaky.get(timeout=30)
    expected = {"t.add": 3, "t.tsum": 1, "t.flaky": 3, "t.ident": 1}
    counted = {}

    def complete():
        counted.clear()
        counted.update(Counter(event["name"] for event in listener.heard if event["type"] == "task-sent"))
        return all(counted.get(name, 0) >= number for name, number in expected.items())

    eventually(complete)
    assert counted == expected, library
    return counted


@pytest.fixture(scope="module")
def told(bench):
    found = {}
    broker, backend, ledger = bench.urls()
    for library in ("celery", "canvas"):
        bench.empty()
        asking = make("celery", broker, backend, ledger=ledger, task_send_sent_event=True)
        with (
            Listener(asking, bench) as listener,
            WorkerProcess(
                library, broker, backend, "-P", "threads", "-c", "2", "-E", "-n", "one@here", ledger=ledger,
                sent_events="1",
            ),
        ):  # fmt: skip
            counted = sent(asking, listener, library)
            found[library] = {**deferred(asking, listener), "sent": counted}
        asking.close()
    return found


def test_a_deferred_task_is_received_once_and_at_once(told):
    assert told["canvas"]["early"] == told["celery"]["early"] == ["task-received"]
    assert told["canvas"]["late"] == told["celery"]["late"] == ["task-received", "task-started", "task-succeeded"]


def test_scheduled_has_celerys_form(told):
    assert told["canvas"]["entry"] == told["celery"]["entry"]
    assert told["canvas"]["request"] == told["celery"]["request"]


def test_workers_report_what_they_send(told):
    assert told["canvas"]["sent"] == told["celery"]["sent"]
