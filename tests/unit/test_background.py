"""Background services: they go on after failures, report them, and end when they are told to."""

import threading

import pytest

from canvas import telemetry
from canvas.errors import OperationalError
from canvas.execution.background import NEVER, BackgroundService, Repeated
from canvas.testing.contract import eventually


@pytest.fixture
def events():
    found = []
    kinds = ("broker.unreachable", "broker.recovered", "worker.internal_error")
    detach = [telemetry.attach(lambda kind=kind, **_: found.append(kind), kind) for kind in kinds]
    yield found
    for one in detach:
        one()


def test_a_call_survives_its_failures_and_reports_them(events):
    outcomes = [5.0, OperationalError("away"), OperationalError("away"), 5.0, ZeroDivisionError(), 5.0]
    failed = []

    def call():
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    repeated = Repeated("duty", call, retry_every=2.0, after_failure=lambda: failed.append(1))
    assert [repeated() for _ in range(6)] == [5.0, 2.0, 2.0, 5.0, 2.0, 5.0]
    assert events == ["broker.unreachable", "broker.unreachable", "broker.recovered", "worker.internal_error"]
    assert len(failed) == 2


def test_a_service_sleeps_until_it_is_woken_and_ends_when_it_is_stopped():
    calls, ended = [], threading.Event()

    def tick():
        calls.append(threading.current_thread().name)
        return NEVER

    service = BackgroundService("duty", tick, last=ended.set)
    service.start()
    service.start()
    assert eventually(lambda: len(calls) == 1)
    service.wake()
    assert eventually(lambda: len(calls) == 2)
    service.stop(within=5)
    assert ended.is_set()
    assert not service.is_alive()
    assert set(calls) == {"canvas-duty"}


def test_a_service_can_stop_itself():
    def tick():
        service.stop(within=5)
        return 0.0

    service = BackgroundService("duty", tick)
    service.start()
    assert eventually(lambda: service.stopped and not service.is_alive())
