"""Uses every part of ``portal``, and prints what comes back as JSON."""

import json
import os
import time

import portal
from celery import chain, chord
from celery.app.control import Inspect
from celery.contrib.abortable import AbortableAsyncResult
from celery.result import AsyncResult, GroupResult, ResultSet
from portal import app


def of(result):
    return result.get(timeout=20)


def until(look):
    for _ in range(400):
        if look():
            return True
        time.sleep(0.05)
    return False


def failed(task):
    result = task.delay()
    error = result.get(timeout=20, propagate=False)
    return [type(error).__name__, result.state, result.name, result.retries, result.queue]


def aborted():
    result = portal.abortable.delay()
    AbortableAsyncResult(result.id).abort()
    return of(result)


def progress():
    result = AsyncResult(portal.ignored.delay().id, app=app)
    return [until(lambda: result.state == "PROGRESS"), result.info]


def parents():
    result, found = chain(portal.add.s(1, 1), portal.add.s(3), portal.add.s(4)).delay(), []
    result.get(timeout=20)
    while result:
        found.append(of(result))
        result = result.parent
    return found


def saved():
    results = portal.fan(3).apply_async()
    results.save()
    kept = GroupResult.restore(results.id, app=app)
    return [kept.id == results.id, len(kept), kept.join(timeout=20)]


def stored():
    results = ResultSet([portal.add.delay(n, n) for n in range(3)])
    results.join(timeout=20)
    keys = [app.backend.get_key_for_task(one.id) for one in results.results]
    return sorted(app.backend.decode_result(value)["result"] for value in app.backend.mget(keys))


def commands():
    control = app.control
    asked = [control.rate_limit("portal.add", "100/m", reply=True, timeout=5),
             control.time_limit("portal.add", soft=60, hard=120, reply=True, timeout=5),
             control.add_consumer("q2", reply=True, timeout=5), control.cancel_consumer("q2", reply=True, timeout=5),
             control.broadcast("add_one", {"n": 4}, reply=True, timeout=5)]  # fmt: skip
    return [next(iter(replies[0].values())) for replies in asked]


inspect = Inspect(app=app, timeout=5)
print(json.dumps({
    "add": of(portal.add.delay(1, 2)), "context": of(portal.context.delay("word")), "heavy": of(portal.heavy.delay()),
    "flaky": failed(portal.flaky), "fails": failed(portal.fails), "progress": progress(), "soft": of(portal.soft.delay()),
    "joins": of(portal.joins.delay()), "replaced": of(portal.replaced.delay()), "shared": of(portal.shared.delay()),
    "annotated": of(portal.annotated.delay()), "doubles": of(portal.doubles.delay(4)), "aborted": aborted(),
    "chain": of((portal.add.s(1, 1) | portal.add.s(2) | portal.fan(2).tasks[1].clone().set(immutable=True)).delay()),
    "chord": of(chord(portal.fan(3))(portal.total.s())), "parents": parents(), "saved": saved(), "stored": stored(),
    "name": of(app.send_task("portal.add", (5, 6), queue="heavy")), "commands": commands(),
    "signature": of(app.signature("portal.add", args=(1,), kwargs={"y": 3}, options={"queue": "heavy"}).delay()),
    "unknown": type(app.send_task("portal.nope").get(timeout=20, propagate=False)).__name__,
    "starmap": of(portal.add.starmap([(1, 2), (3, 4)]).delay()), "chunks": of(portal.add.chunks([(1, 1), (2, 2)], 1)()),
    "eager": [portal.add.apply((1, 2)).get(), portal.add(1, 2), portal.add.s(1).apply((2,)).get()],
    "link": of(portal.add.apply_async((1, 1), link=[portal.add.s(5)], expires=60, shadow="other", priority=3)),
    "ping": [next(iter(one.values())) for one in app.control.ping(timeout=5)],
    "queues": sorted(one["name"] for one in next(iter(inspect.active_queues().values()))),
    "inspected": list(inspect._request("has_consumer").values()), "schedule": sorted(app.conf.beat_schedule),
    "alive": until(lambda: os.path.exists(os.path.join(os.environ["FOLDER"], "alive"))),
    "failed": until(lambda: os.path.exists(os.path.join(os.environ["FOLDER"], "failed"))),
    "repr": [repr(portal.add.s(1, 2)), repr(portal.add.s(1, 1) | portal.add.s(2))],
}))  # fmt: skip
