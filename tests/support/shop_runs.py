"""An app with the processes of a shop: orders, approvals, nightly loads, polls, races, and a workflow that grows."""

import os
import time

import redis

from canvas import Canvas, Workflow

app = Canvas("shop_runs", broker=os.environ.get("APP_BROKER", "memory://"), backend=os.environ.get("APP_BACKEND"))
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_lease_ttl=3)


def note(key, what):
    with redis.Redis.from_url(os.environ["APP_LEDGER"]) as ledger:
        ledger.rpush(key, what)


@app.task
def step(value, key, what, fails=False):
    note(key, what)
    time.sleep(0.1)
    if fails:
        raise ValueError("no stock")
    return value


@app.task
def undo(value, key, what):
    note(key, what)


@app.task
def extract(number):
    return [list(range(first, first + 3)) for first in range(number)]


@app.task
def tenfold(number):
    time.sleep(0.02)
    return number * 10


@app.task
def total(rows):
    return sum(sum(row) if isinstance(row, list) else row for row in rows)


@app.task
def poll(state):
    return {"polls": state["polls"] + 1}


@app.task
def is_done(state, limit):
    return state["polls"] >= limit


@app.task
def quote(name, seconds):
    time.sleep(seconds)
    return name


@app.task
def ident(value):
    return value


@app.task
def grow(levels, key):
    note(key, str(levels))
    if not levels:
        return "bottom"
    flow = Workflow(f"level {levels}", app)
    flow.add(grow.s(levels - 1, key))
    return flow


def order(key, fails=False):
    flow = Workflow("order", app)
    reserved = flow.add(step.s(1, key, "reserve"), compensate=undo.s(key, "release"))
    paid = flow.add(step.s(reserved, key, "charge"), compensate=undo.s(key, "refund"))
    flow.add(step.s(paid, key, "ship", fails))
    return flow


def approval(timeout):
    flow = Workflow("approval", app)
    answer = flow.wait_for("manager", timeout=timeout, default={"ok": None})
    flow.branch(answer["ok"], {True: ident.s("granted"), False: ident.s("denied")}, otherwise=ident.s("escalated"))
    return flow


def load(number):
    flow = Workflow("load", app)
    flow.add(total.s(flow.map(tenfold.s(), over=flow.add(extract.s(number)), depth=2)))
    return flow


def polling(limit, seconds):
    once = Workflow("once", app)
    state = once.input("state")
    once.add(poll.s(state), after=once.sleep(0.1))
    flow = Workflow("polling", app)
    polled = flow.loop(once, {"polls": 0}, until=is_done.s(limit), at_most=1_000, name="poll")
    flow.timeout(polled, seconds, otherwise="late")
    return flow


def children(number):
    child = Workflow("child", app)
    child.add(tenfold.s(child.add(tenfold.s(child.input("number")))))
    flow = Workflow("children", app)
    flow.add(total.s(flow.map(child, over=list(range(number)), concurrency=3)))
    return flow


def review():
    flow = Workflow("review", app)
    flow.add(ident.s([flow.wait_for("legal"), flow.wait_for("finance")]))
    return flow


def race():
    flow = Workflow("race", app)
    flow.add(ident.s(flow.first(flow.add(quote.s("slow", 8)), flow.add(quote.s("fast", 0.2)))))
    return flow


def growing(key):
    flow = Workflow("growing", app)
    flow.add(ident.s(flow.add(grow.s(10, key))))
    return flow
