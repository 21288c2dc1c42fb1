"""Signals that are sent by HTTP and from the page of a run."""

import pytest
from pydantic import BaseModel

from canvas import Workflow
from tests.support import dashboards
from tests.support.chromium import Page, browser
from tests.support.dashboards import eventually


class Approval(BaseModel):
    by: str
    amount: float


@pytest.fixture(scope="module")
def fleet(bench):
    with dashboards.fleet(bench) as page:
        yield page


def asks(fleet, waits=1, **options):
    """A run whose ``waits`` nodes wait for the signal ``approved``, one after the other."""
    flow, last = Workflow("asks", fleet.app), ()
    for number in range(waits):
        last = flow.wait_for("approved", name=f"ask {number}", after=last, **options)
    flow.add(fleet.app.signature("t.ident", (last,)), name="last")
    run = flow.apply_async()
    eventually(lambda: run.query("ask 0") == "AWAITING_SIGNAL")
    return run


def test_a_signal_by_http_counts_once(fleet):
    run = asks(fleet, waits=2)
    found = fleet.get(f"/workflows/{run.id}")
    assert (found["run"]["can"]["signal"], found["run"]["signals"]) == (True, ["approved"])
    waiting = {node["name"]: node for node in found["nodes"]}["ask 0"]
    assert (waiting["state"], waiting["signal"]) == ("AWAITING_SIGNAL", "approved")
    for _ in range(2):
        assert fleet.post(f"/workflows/{run.id}/signal", name="approved", payload=1, key="a")["done"]
    eventually(lambda: run.query("ask 1") == "AWAITING_SIGNAL")
    assert fleet.post(f"/workflows/{run.id}/signal", name="approved", payload={"by": "eve"})["done"]
    assert run.get(timeout=20) == {"by": "eve"}
    late = fleet.post(f"/workflows/{run.id}/signal", 409, name="approved", payload=2)
    assert "has ended: no node of it waits for signal 'approved'" in late["error"]


def test_signals_by_http_that_are_refused(fleet):
    run = asks(fleet, model=Approval)
    fits = {"by": "eve", "amount": 1}
    for status, body, said in (
        (400, {}, "expected the name of a signal, as name"),
        (400, {"name": 3}, "expected the name of a signal, as name"),
        (409, {"name": "a\0b"}, "expected the name of a signal, as text"),
        (409, {"name": "approved", "payload": {**fits, "amount": "much"}}, "'much' is not of type 'number'"),
        (409, {"name": "approved"}, "ask 0: payload: None is not of type 'object'"),
        (409, {"name": "approved", "payload": fits, "key": 3}, "key: expected text; got 3"),
    ):
        assert said in fleet.post(f"/workflows/{run.id}/signal", status, **body)["error"]
    assert (run.query("ask 0"), run.signals()) == ("AWAITING_SIGNAL", {})
    assert fleet.client.post("/api/v1/workflows/nothing/signal", json={"name": "approved"}).status_code == 404
    assert fleet.post(f"/workflows/{run.id}/signal", name="approved", payload=fits)["done"]
    assert run.get(timeout=20) == fits


@pytest.mark.timeout(120)
def test_a_signal_from_the_page_of_a_run(fleet):
    run = asks(fleet)
    with browser() as chromium:
        page = Page(chromium, fleet.url)
        page.page.set_default_timeout(30_000)
        shown = page.open(f"workflows/{run.id}")
        shown.get_by_role("button", name="Send a signal").click()
        shown.get_by_label("Value, as JSON").fill('{"by": "eve"}')
        shown.get_by_role("button", name="Send", exact=True).click()
        assert run.get(timeout=30) == {"by": "eve"}
        shown.get_by_role("button", name="last, succeeded").wait_for()
        page.close()
