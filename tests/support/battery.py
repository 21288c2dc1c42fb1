"""A battery of workflows, composed, sent and read with one library: ``python -m tests.support.battery [NAME ...]``.

The environment says which library and where, as for :mod:`tests.support.apps`. Each case prints one line of JSON: its
``name``, whether what it ``found`` is what is ``expected``, and how many ``seconds`` it took. A result that the library
did not answer in time although it is stored says so under ``unanswered``. Python programs of old versions of Celery run
this file, so it imports what they have.
"""

import datetime
import decimal
import importlib
import json
import os
import sys
import time
import uuid

import redis

from tests.support.apps import app
from tests.support.shapes import SHAPES, Shapes

PATIENCE = float(os.environ.get("BATTERY_PATIENCE", "20"))
"""Seconds that a case waits for an answer."""

lib = importlib.import_module(os.environ["APP_LIBRARY"])
exceptions = importlib.import_module(f"{lib.__name__}.exceptions")
stored = redis.Redis.from_url(os.environ["APP_BACKEND"])
ledgers = redis.Redis.from_url(os.environ["APP_LEDGER"], decode_responses=True)
FINAL = ("SUCCESS", "FAILURE", "REVOKED")
KINDS = [
    None, True, 1, 2**70, 1.5, "tëxt\u2028", [], {}, [1, [2, {"a": None}]], {"k": [1]}, b"bytes", b"\xff\x00",
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),  # noqa: UP017
    datetime.date(2026, 1, 2), datetime.time(1, 2, 3), decimal.Decimal("1.10"), uuid.UUID(int=7),
]  # fmt: skip


class Unanswered(Exception):
    """The library waited in vain for a result that is stored."""


def until(condition, what):
    """The first true value of ``condition()``."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not in {PATIENCE} s: {what}")


def get(result):
    """The result's value, or ``(type, arguments)`` of its error, as the library's own waiting gives it."""
    began = time.monotonic()
    try:
        return result.get(timeout=PATIENCE)
    except exceptions.TimeoutError:
        parts = getattr(result, "results", None) or [result]
        states = {part.id: (record(part) or {}).get("status") for part in parts}
        if all(state in FINAL for state in states.values()):
            raise Unanswered(f"{states} stored, and not taken in {time.monotonic() - began:.1f} s") from None
        raise AssertionError(f"not stored in {PATIENCE} s: {states}") from None
    except Exception as exc:  # noqa: BLE001 - a task's error is what the case found
        return type(exc).__name__, exc.args


def record(result):
    found = stored.get(f"celery-task-meta-{result.id}")
    return json.loads(found) if found else None


def state(result):
    """Its final state, read from the server."""
    return (
        until(lambda: (record(result) or {}).get("status") in FINAL, f"the end of {result.id}")
        and record(result)["status"]
    )


def notes(key, at_least):
    """What was noted under ``key``, once there are so many notes."""
    until(lambda: ledgers.llen(f"ledger:{key}") >= at_least, f"{at_least} notes of {key}")
    return ledgers.lrange(f"ledger:{key}", 0, -1)


class Battery(Shapes):
    """Cases beside the shapes; each returns ``(found, expected)``."""

    def chain_group_sum(self):
        group = self.lib.group(self.s("add", 1), self.s("add", 2), self.s("mul", 3))
        flow = self.lib.chain(self.s("add", 1, 1), group, self.s("tsum"), self.s("mul", 2))
        return [get(flow.apply_async()) for _ in range(12)], [26] * 12

    def many_chords_at_once(self):
        chords = [self.lib.chord([self.s("add", i, n) for i in range(6)], self.s("tsum")) for n in range(20)]
        results = [one.apply_async() for one in chords]
        return [get(one) for one in results], [15 + 6 * n for n in range(20)]

    def many_tasks_at_once(self):
        results = [self.s("add", n, n).apply_async() for n in range(100)]
        return [get(one) for one in results], [2 * n for n in range(100)]

    def links(self):
        key = uuid.uuid4().hex
        sig = self.s("add", 1, 2)
        sig.link(self.s("noted", f"{key}:a"))
        sig.link(self.s("noted", f"{key}:b"))
        return (get(sig.apply_async()), notes(f"{key}:a", 1), notes(f"{key}:b", 1)), (3, ["3"], ["3"])

    def failure(self):
        result = self.s("fail").apply_async()
        found = get(result), result.state, "raise ValueError" in result.traceback
        return found, (("ValueError", ("boom", 42)), "FAILURE", True)

    def failing_step(self):
        key = uuid.uuid4().hex
        chain = self.s("add", 1, 1) | self.s("fail") | self.s("noted", f"{key}:never")
        result = chain.on_error(self.s("errback_by_id", key)).apply_async()
        noted = notes(key, 1)
        found = get(result), noted, ledgers.llen(f"ledger:{key}:never")
        return found, (("ValueError", ("boom", 42)), [result.parent.id], 0)

    def errback_by_request(self):
        key = uuid.uuid4().hex
        result = self.s("fail").on_error(self.s("errback_by_request", key)).apply_async()
        return notes(key, 1), [f"{result.id}|ValueError"]

    def failing_header(self):
        key = uuid.uuid4().hex
        body = self.s("tsum").on_error(self.s("errback_by_id", key))
        result = self.lib.chord([self.s("add", 1, 1), self.s("fail"), self.s("add", 2, 2)], body).apply_async()
        noted, ended = notes(key, 1), state(result)
        return (noted, ended, get(result)[0] in ("ChordError", "ValueError")), ([result.id], "FAILURE", True)

    def failing_member_of_a_group(self):
        result = self.lib.group(self.s("add", 1, 1), self.s("fail"), self.s("add", 2, 2)).apply_async()
        states = [state(one) for one in result.results]
        return (states, get(result)), (["SUCCESS", "FAILURE", "SUCCESS"], ("ValueError", ("boom", 42)))

    def members_as_they_come(self):
        result = self.lib.group(self.s("add", n, n) for n in range(4)).apply_async()
        return sorted(value["result"] for _, value in result.iter_native()), [0, 2, 4, 6]

    def saved_group(self):
        result = self.lib.group(self.s("add", n, n) for n in range(3)).apply_async()
        result.save()
        return get(self.app.GroupResult.restore(result.id)), [0, 2, 4]

    def lineage(self):
        result = (self.s("where") | self.s("where") | self.s("where")).apply_async()
        last, first = get(result), get(result.parent.parent)
        root = result.parent.parent.id
        found = last["id"], last["root_id"], last["parent_id"], first["id"], first["root_id"], first["parent_id"]
        return found, (result.id, root, result.parent.id, root, root, None)

    def children(self):
        result = self.s("sends", 1).apply_async()
        found = get(result), [get(child)["parent_id"] for child in result.children]
        return found, ("sent", [result.id])

    def replaced(self):
        flow = self.s("add", 1, 1) | self.s("swap", dict(self.s("add", 40) | self.s("mul", 2))) | self.s("add", 1)
        return get(flow.apply_async()), 85

    def replaced_by_a_chord(self):
        chord = self.lib.chord([self.s("add", 1, 1), self.s("add", 2, 2)], self.s("tsum"))
        return get((self.s("swap", dict(chord)) | self.s("add", 1)).apply_async()), 7

    def ignored_result(self):
        key = uuid.uuid4().hex
        result = self.s("quiet", key).apply_async()
        return (notes(key, 1), record(result)), (["1"], None)

    def retry(self):
        return get((self.s("flaky", 2) | self.s("add", 10)).apply_async()), 12

    def automatic_retry(self):
        key = uuid.uuid4().hex
        return (get(self.s("auto", 2, key).apply_async()), notes(key, 3)), (2, ["0", "1", "2"])

    def retry_in_a_header(self):
        return get(self.lib.chord([self.s("flaky", 1), self.s("add", 1, 1)], self.s("tsum")).apply_async()), 3

    def countdown(self):
        return get(self.s("add", 1, 1).apply_async(countdown=0.2)), 2

    def eta(self):
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=0.3)  # noqa: UP017
        return get((self.s("add", 1, 1) | self.s("add", 1).set(eta=soon)).apply_async()), 3

    def expired(self):
        result = self.s("add", 1, 1).apply_async(expires="2001-01-01T00:00:00+00:00")
        return (state(result), get(result)[0]), ("REVOKED", "TaskRevokedError")

    def revoked(self):
        key = uuid.uuid4().hex
        result = self.s("slow_then", 0, key).apply_async(countdown=2)
        result.revoke(wait=True, timeout=0.5)
        found = state(result), get(result)[0], ledgers.llen(f"ledger:{key}")
        return found, ("REVOKED", "TaskRevokedError", 0)

    def tracked(self):
        key = uuid.uuid4().hex
        result = self.s("tracked", key).apply_async()
        return (get(result), notes(key, 1)), (None, ["STARTED"])

    def progress(self):
        key = uuid.uuid4().hex
        return (get(self.s("progress", key).apply_async()), notes(key, 1)), ("done", ["PROGRESS"])

    def stamps(self):
        sig = self.s("context")
        if not hasattr(sig, "stamp"):
            return "this version has no stamps", "this version has no stamps"
        flow = self.s("ident", 1) | sig
        flow.stamp(batch="b1")
        return get(flow.apply_async())["stamps"], {"batch": "b1"}

    def msgpack(self):
        header = [self.s("add", i, i).set(serializer="msgpack") for i in range(3)]
        body = self.s("tsum").set(serializer="msgpack")
        return get(self.lib.chord(header, body).apply_async(serializer="msgpack")), 6

    def compressed(self):
        text = "word " * 2000
        results = [self.s("ident", text).apply_async(compression=kind) for kind in ("gzip", "bzip2") for _ in range(3)]
        return [get(one) == text for one in results], [True] * 6

    def kinds_of_arguments(self):
        results = [self.s("kinds", value).apply_async() for value in KINDS]
        return [get(one) for one in results], [[type(value).__name__, value] for value in KINDS]

    def priorities(self):
        results = [self.s("priority").apply_async(priority=number) for number in (0, 3, 6, 9)]
        return [get(one) for one in results], [0, 3, 6, 9]


CASES = [name for name in vars(Battery) if not name.startswith("_")]


def run(name):
    battery = Battery(lib, app)
    if name in SHAPES:
        signature, expected = getattr(battery, name)()
        return get(signature.apply_async()), expected
    return getattr(battery, name)()


def main(names):
    for name in names:
        began = time.monotonic()
        line = {"name": name, "equal": False}
        try:
            found, expected = run(name)
            line.update(equal=found == expected, found=repr(found), expected=repr(expected))
        except Unanswered as exc:
            line["unanswered"] = str(exc)
        except Exception as exc:  # noqa: BLE001 - reported as what the case found
            line["found"] = f"{type(exc).__name__}: {exc}"
        print(json.dumps({**line, "seconds": round(time.monotonic() - began, 3)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or [*SHAPES, *CASES])
