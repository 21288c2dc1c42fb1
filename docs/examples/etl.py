"""A small pipeline: load in parallel, join, and one step more; with a callback for when it fails.

Run a worker (``canvas -A etl worker -l INFO``) in this folder, then ``python etl.py``.
"""

import os

from canvas import Canvas, chord, group

app = Canvas(
    "etl",
    broker=os.environ.get("BROKER", "redis://localhost:6379/0"),
    backend=os.environ.get("BACKEND", "redis://localhost:6379/1"),
)


@app.task
def load(source):
    """Rows of a source."""
    return [{"source": source, "amount": n} for n in range(3)]


@app.task
def total(tables):
    """The sum over all rows of all tables."""
    return sum(row["amount"] for rows in tables for row in rows)


@app.task
def describe(amount, currency):
    return f"{amount} {currency}"


@app.task
def complain(task_id):
    print(f"task {task_id} failed")


report = chord([load.s(name) for name in ("shop", "web", "phone")], total.s() | describe.s("EUR"))
fan_out = load.si("shop") | group(total.si([[{"amount": 1}]]), total.si([[{"amount": 2}]]))

if __name__ == "__main__":
    print(report.on_error(complain.s()).delay().get(timeout=10))
    print(fan_out.delay().get(timeout=10))
