"""The app that the screenshots show; its broker is in the environment variable ``SHOP_REDIS``."""

import os
import time

from canvas import Canvas

REDIS = os.environ.get("SHOP_REDIS", "redis://localhost:6379")
app = Canvas("shop", broker=f"{REDIS}/0", backend=f"{REDIS}/1", task_send_sent_event=True, result_extended=True)


@app.task
def load(day):
    time.sleep(0.3)
    return [{"item": f"tea {number}", "price": 4, "count": number} for number in range(1, 41)]


@app.task
def audit(rows):
    time.sleep(0.6)
    return all(row["count"] > 0 for row in rows)


@app.task
def amount(row):
    time.sleep(0.1)
    return row["price"] * row["count"]


@app.task
def total(amounts):
    time.sleep(0.2)
    return sum(amounts)


@app.task
def book(total):
    raise ConnectionError(f"ledger.shop.example refused {total}: 503 Service Unavailable")


@app.task
def report(total, booked):
    return f"sold for {total}"


@app.task
def price(item):
    time.sleep(0.01 + item % 5 / 100)
    if item % 40 == 7:
        raise KeyError("no price")
    return item


def day_end(day):
    flow = app.Workflow("day-end")
    rows = flow.add(load.s(day))
    audited = flow.add(audit.s(rows))
    totals = flow.add(total.s(flow.map(amount.s(), over=rows)))
    booked = flow.add(book.s(totals), after=audited)
    flow.add(report.s(totals, booked))
    return flow
