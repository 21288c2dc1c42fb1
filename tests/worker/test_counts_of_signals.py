"""What a signal costs its client, counted."""

from canvas import Workflow
from canvas.model.record import Record
from canvas.wire.record import encode, encode_success
from canvas.workflows.signals import send_signals, signal_to
from tests.support.counting import counted
from tests.worker.commands import task


def test_function_calls_of_a_signal(app):
    """For each of 50 that go to the store together."""
    flow = Workflow("waits", app)
    flow.add(task(app, "ident").s(flow.wait_for("answer")))
    signals = [signal_to(flow.apply_async(), "answer", 1, None) for _ in range(51)]
    assert send_signals([signals.pop()]) == [None]
    calls = counted(lambda: send_signals(signals)) / len(signals)
    assert calls <= 275, f"{calls} function calls for a signal"


def test_a_success_without_other_fields_has_one_form():
    record = Record("id", "SUCCESS", {"a": [1, "ü"]}, None, [], "2026-01-01T00:00:00+00:00", "group", "parent")
    written = encode_success("id", record.result, [], str(record.date_done), "group", "parent")
    assert encode(record) == written
    record.extra = {"canvas": ""}
    assert encode(record).replace(b'"canvas":"",', b"") == written
