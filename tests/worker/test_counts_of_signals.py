"""What a signal costs its client, counted."""

import asyncio

import pytest

from canvas import Workflow
from canvas.errors import OperationalError
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


async def test_signals_of_one_run_keep_their_order_although_two_calls_are_under_way(app):
    flow = Workflow("waits", app)
    flow.wait_for("never")
    runs = [flow.apply_async() for _ in range(6)]
    with pytest.warns(UserWarning, match="is kept with the run"):
        await asyncio.gather(*(run.asignal("answer", number) for number in range(20) for run in runs))
    assert [run.signals() for run in runs] == [{"answer": list(range(20))}] * len(runs)


async def test_each_signal_has_the_end_of_its_own_call(app, monkeypatch):
    """Of calls that are under way together, one fails."""
    flow = Workflow("waits", app)
    flow.wait_for("answer")
    runs = [flow.apply_async() for _ in range(120)]
    settle = app.driver.settler.settle

    def failing(settlements):
        if settlements[0].mail[0].run == runs[50].id:
            raise OperationalError("away")
        return settle(settlements)

    monkeypatch.setattr(app.driver.settler, "settle", failing)
    ends = await asyncio.gather(*(run.asignal("answer", 1) for run in runs), return_exceptions=True)
    assert ends[:50] + ends[100:] == [None] * 70
    assert {str(end) for end in ends[50:100]} == {"away"}
