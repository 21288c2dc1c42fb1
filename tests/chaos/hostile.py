"""Messages that nobody should send: real ones, changed at random but repeatably, and how each must end."""

import base64
import copy
import json
import pickle
import random
import zlib
from pathlib import Path

import msgpack
import redis

from canvas import chain, chord, group
from tests.worker.commands import task

DEEP = json.loads("[" * 300 + "]" * 300)
NAMES = ["os.system", "builtins.eval", "celery.map", "celery.chain", "celery.chord_unlock", "celery.accumulate",
         "celery.backend_cleanup", "celery.group", "canvas", "t.add", "t.ident", "t.fail", "t.swap", "t.grow",
         "t.flaky", "t.tsum", "__init__", "..", "a" * 5000]  # fmt: skip
TIMES = ["2020-01-01T00:00:00", "9999-12-31T23:59:59.999999+00:00", "0001-01-01T00:00:00", "2026-13-45", "now", "-1",
         "2026-01-01T00:00:00+99:99"]  # fmt: skip
NUMBERS = [-1, 0, 1, 2, 255, 2**31, 2**63, -(2**63), 2**64, 2**200, 1e308, -0.0, 1.5, float("nan"), float("inf")]
TEXTS = [
    "",
    "\ud800",
    "\x00",
    "\u202e",
    "x" * 10_000,
    "{}",
    "null",
    "celery-task-meta-",
    "celery\x06\x169",
    "*",
    "💥" * 50,
]
SIGNATURES = [
    {"task": "t.add"}, {"task": None, "args": [], "kwargs": {}, "options": {}}, {},
    {"task": "t.add", "args": [1], "kwargs": {}, "options": None, "subtask_type": None},
    {"task": "celery.chain", "args": [], "kwargs": {"tasks": []}, "options": {}, "subtask_type": "chain"},
    {"task": "celery.chord", "args": [], "kwargs": {"header": [], "body": None}, "options": {}, "subtask_type": "chord"},
    {"task": "celery.group", "args": [], "kwargs": {"tasks": 7}, "options": {}, "subtask_type": "group"},
    {"task": "t.add", "args": [1], "kwargs": {}, "options": {"task_id": 7, "chord": []}, "subtask_type": "what"},
]  # fmt: skip
VALUES = [None, True, False, [], {}, [[]], {"__type__": "datetime", "__value__": "?"}, {"__type__": []}, DEEP,
          *NUMBERS, *TEXTS, *TIMES, *NAMES, *SIGNATURES]  # fmt: skip


MAPPING = ("celery.map", "celery.starmap", "celery.chunks")


class Mutator:
    """Envelopes from ``seeds``, each changed in one to four places. ``marker``: a file that no pickle may make."""

    def __init__(self, seed, seeds, marker):
        self._random = random.Random(seed)
        self._seeds = [_open(raw) for raw in seeds]
        self._marker = marker
        self._number = 0
        self._name = f"fuzz-{seed}"

    def next(self):
        self._number += 1
        outer, body = copy.deepcopy(self._random.choice(self._seeds))
        outer["headers"]["id"] = f"{self._name}-{self._number}"
        whole = {"outer": outer, "body": body}
        for _ in range(self._random.randint(1, 4)):
            change(self._random, whole)
        raw = self._written(whole["outer"], whole["body"])
        return self._damaged(raw) if self._random.random() < 0.1 else raw

    def _written(self, outer, body):
        if not isinstance(outer, dict):
            return json.dumps(outer).encode()
        data = self._encoded(outer, body)
        how = self._random.random()
        if how < 0.02 and isinstance(outer.get("headers"), dict):
            outer["headers"]["compression"] = "application/x-gzip"
            data = zlib.compress(b"0" * 80_000_000 if how < 0.002 else data)
        outer["body"] = base64.b64encode(data).decode() if how > 0.01 else data.decode("latin-1")
        return json.dumps(outer).encode()

    def _encoded(self, outer, body):
        how = self._random.random()
        if how < 0.03:
            outer["content-type"] = "application/x-python-serialize"
            return pickle.dumps((_Bomb(self._marker), {}, {}))
        if how < 0.08:
            outer["content-type"] = "application/x-msgpack"
            try:
                return msgpack.packb(body)
            except (ValueError, OverflowError):
                pass  # what msgpack cannot say is said as JSON, under its name
        return json.dumps(body).encode()

    def _damaged(self, raw):
        chance, raw = self._random, bytearray(raw)
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(raw))
            match chance.randrange(3):
                case 0:
                    raw[at] = chance.randrange(256)
                case 1:
                    del raw[at : at + chance.randint(1, 50)]
                case 2:
                    raw[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 8)))
        return bytes(raw) or b"?"


def change(chance, whole):
    """One place, anywhere below a tree's first level."""
    node, key, path = whole, None, []
    while isinstance(node, dict | list) and node and (key is None or chance.random() < 0.8):
        key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
        path.append((node, key))
        node = node[key]
    parent, key = path[-1]
    if parent is whole:
        return
    how = chance.random()
    if how < 0.7:
        parent[key] = copy.deepcopy(chance.choice(VALUES))
    elif how < 0.8:
        del parent[key]
    elif isinstance(parent, list):
        parent.extend([copy.deepcopy(node)] * chance.choice([1, 3]))
    elif isinstance(node, dict | list):
        parent[key] = [copy.deepcopy(node)] if chance.random() < 0.5 else {"task": node}
    else:
        parent[chance.choice(["chain", "chord", "link", "options", "task", "kwargs"])] = copy.deepcopy(node)


class _Bomb:
    def __init__(self, marker):
        self._marker = marker

    def __reduce__(self):
        return Path.touch, (Path(self._marker),)


def _open(raw):
    outer = json.loads(raw)
    return outer, json.loads(base64.b64decode(outer["body"]))


def seeds_of(app, queue="seeds"):
    """Envelopes of every kind of message."""
    add, ident, tsum = task(app, "add"), task(app, "ident"), task(app, "tsum")
    fail, errback = task(app, "fail"), task(app, "errback_by_id")
    sent = [
        add.s(1, 2), add.s(1, y=2), fail.s(1), task(app, "flaky").s(1),
        chain(add.s(1, 2), add.s(3), add.s(4)), chain(*(ident.s() for _ in range(9))).clone(args=(1,)),
        chord([add.s(1, 1), add.s(2, 2)], tsum.s()), chord([add.s(1, 1), fail.s()], tsum.s().on_error(errback.s("k"))),
        chain(add.s(1, 1), group(add.s(1), add.s(2)), tsum.s()),
        chord([chord([add.s(1, 1)], tsum.s()), add.s(2, 2)], tsum.s()),
        add.s(1, 1).set(link=[ident.s(), ident.s()], link_error=[errback.s("k")]),
        task(app, "swap").s(dict(add.s(1, 2))), chord([task(app, "grow").s(1, dict(add.s(1, 1)))], tsum.s()),
        ident.map([1, 2]), add.starmap([(1, 2)]), add.s(1, 1).set(countdown=0.1), add.s(1, 1).set(expires=60),
        add.s(1, 1).set(time_limit=30, soft_time_limit=20, priority=3), task(app, "quiet").s("k"),
    ]  # fmt: skip
    for sig in sent:
        sig.apply_async(queue=queue)
    broker = redis.Redis.from_url(app.conf.broker_url)
    return [raw for name in broker.keys(f"{queue}*") for raw in broker.lrange(name, 0, -1)]


def headers_of(raw):
    """The headers of an envelope; empty where none can be read."""
    try:
        headers = json.loads(raw)["headers"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return headers if isinstance(headers, dict) else {}


def leaves_no_result(raw):
    """Whether its task keeps no result, or may end in Ignore: one that replaces itself by a task without results, and
    one that replaces itself where it is called as a function."""
    headers = headers_of(raw)
    if headers.get("ignore_result") or headers.get("task") == "t.quiet":
        return True
    body = _body_of(raw)
    return b"celery.chord_unlock" in body or (headers.get("task") in MAPPING and b"t.swap" in body)


def _body_of(raw):
    try:
        return base64.b64decode(json.loads(raw)["body"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return b""
