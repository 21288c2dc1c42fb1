"""A workflow with a map and a join: a day's sales are audited and added up, then reported."""

import os

from canvas import Canvas

app = Canvas(
    "day_end",
    broker=os.environ.get("BROKER", "redis://localhost:6379/0"),
    backend=os.environ.get("BACKEND", "redis://localhost:6379/1"),
)


@app.task
def load(day):
    return [{"price": 4, "count": 2}, {"price": 7, "count": 1}]


@app.task
def audit(rows):
    return all(row["count"] > 0 for row in rows)


@app.task
def report(amounts):
    return f"sold for {sum(amounts)}"


@app.task
def amount(row):
    return row["price"] * row["count"]


def day_end(day):
    flow = app.Workflow("day-end")
    rows = flow.add(load.s(day))
    audited = flow.add(audit.s(rows))
    amounts = flow.map(amount.s(), over=rows)
    flow.add(report.s(amounts), after=audited)
    return flow
