"""A task every second and a workflow every two seconds, sent by beat.

Run ``canvas -A nightly worker -B -l INFO`` in this folder, then ``python nightly.py``.
"""

import os
import time

from canvas import Canvas

app = Canvas(
    "nightly",
    broker=os.environ.get("BROKER", "redis://localhost:6379/0"),
    backend=os.environ.get("BACKEND", "redis://localhost:6379/1"),
)


@app.task
def ping():
    """A task without arguments."""
    return "pong"


@app.task
def sales(shop):
    """The sales of a shop."""
    return {"north": 3, "south": 4}[shop]


@app.task
def report(amounts):
    """The sum of all sales."""
    return sum(amounts)


def totals():
    """The workflow of one run."""
    flow = app.Workflow("totals")
    shops = [flow.add(sales.s(shop), name=shop) for shop in ("north", "south")]
    flow.add(report.s(shops), name="report")
    return flow


app.conf.beat_schedule = {
    "ping": {"task": "nightly.ping", "schedule": 1.0},
    "totals": {"task": totals, "schedule": 2.0, "overlap": "skip"},
}


def last_run():
    """The last run of the workflow that beat has started; ``None`` before the first."""
    for entry in app.schedule.list():
        if entry.name == "totals" and entry.state.last:
            return app.workflow(entry.state.last["run"])
    return None


if __name__ == "__main__":
    while (run := last_run()) is None:
        time.sleep(0.2)
    print(run.name, run["report"].get(timeout=20))
