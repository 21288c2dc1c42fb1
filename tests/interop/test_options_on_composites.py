"""What is said of a composite reaches the same messages as with Celery; composing leaves its operands alone."""

import base64
import json
import re

import celery
import pytest

import canvas
from tests.support.apps import make

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ROOT = "11111111-2222-3333-4444-555555555555"


class Library:
    def __init__(self, name, urls):
        self.app = make(name, *urls)
        module = celery if name == "celery" else canvas
        self.chain, self.group, self.chord = module.chain, module.group, module.chord
        self.signature = module.signature
        for task in "rec", "tsum", "add":
            setattr(self, task, self.app.tasks[f"t.{task}"])


@pytest.fixture
def libraries(redis_url, result_url):
    both = [Library(name, (redis_url, result_url)) for name in ("canvas", "celery")]
    yield both
    for library in both:
        library.app.close()


def sent(redis_server, build, library):
    """Of each message, sorted: its task and arguments, group, root, what it embeds; ids by first appearance."""
    client = redis_server.client()
    client.flushdb()
    build(library)
    found = []
    for key in client.keys():
        for payload in client.lrange(key, 0, -1) if client.type(key) == b"list" else ():
            message = json.loads(payload)
            args, kwargs, embed = json.loads(base64.b64decode(message["body"]))
            headers = message["headers"]
            kept = [headers["task"], args, kwargs, bool(headers["group"]), headers["eta"] is not None]
            kept += [headers["root_id"] == ROOT, _callbacks(embed)]
            found.append([key.decode(), json.dumps(kept, sort_keys=True)])
    return sorted(found)


def _callbacks(embed):
    """Where callbacks and errbacks stand below a message, and how often."""
    text = json.dumps(embed)
    return [text.count('"cb"'), text.count('"eb"'), text.count("t.rec"), text.count('"task": ')]


def linked(sig, callback):
    sig.link(callback)
    return sig


def frozen(sig):
    sig.freeze()
    return sig


CASES = {
    "link on a chord with a chain as body": lambda n: linked(
        n.chord([n.rec.s("h")], n.chain(n.rec.s("b"), n.rec.s("c"))), n.rec.s("cb")
    ).apply_async(),
    "link on a chain in a pending group": lambda n: (
        n.rec.s("a") | n.group([linked(n.chain(n.rec.s("x"), n.rec.s("y")), n.rec.s("cb")), n.rec.s("z")])
    ).apply_async(),
    "group | chain with a link": lambda n: (
        n.group(n.rec.s("g"), n.rec.s("h")) | linked(n.chain(n.rec.s("t"), n.rec.s("u")), n.rec.s("cb"))
    ).apply_async(),
    "a chain that ends in a group, with an errback, piped on": lambda n: (
        n.chain(n.rec.s("a"), n.group(n.rec.s("b"), n.rec.s("c"))).on_error(n.rec.s("eb")) | n.rec.s("t")
    ).apply_async(),
    "a chain that ends in a group, for later, piped on": lambda n: (
        n.chain(n.rec.s("a"), n.group(n.rec.s("b"), n.rec.s("c"))).set(countdown=60) | n.rec.s("t")
    ).apply_async(),
    "root_id of a chain": lambda n: n.chain(n.rec.s("a"), n.rec.s("b")).apply_async(root_id=ROOT),
    "root_id of a chain in a group": lambda n: n.group(n.chain(n.rec.s("a"), n.rec.s("b")), n.rec.s("c")).apply_async(
        root_id=ROOT
    ),
    "link= on a chord with a group as body": lambda n: n.chord(
        [n.rec.s("h")], n.group(n.rec.s("x"), n.rec.s("y"))
    ).apply_async(link=n.rec.s("cb")),
    "a frozen group": lambda n: frozen(n.group(n.rec.s("a"), n.rec.s("b"))).apply_async(),
    "a chord for its body's id": lambda n: n.chord([n.rec.s("h")], n.tsum.s()).set(task_id=ROOT).apply_async(),
    "skew": lambda n: n.group([n.rec.s(x) for x in range(4)]).skew(1, 2.5, 1).apply_async(),
}


@pytest.mark.parametrize("build", CASES.values(), ids=CASES.keys())
def test_messages_are_celerys(redis_server, libraries, build):
    found, expected = (sent(redis_server, build, library) for library in libraries)
    assert found == expected


@pytest.mark.parametrize("start", [(1, 2.5, 1), (5, 1, -1), (3, 2), (0, None, 0.5)], ids=str)
def test_skewed_countdowns_are_celerys(libraries, start):
    found, expected = (
        [task.options["countdown"] for task in n.group([n.rec.s(x) for x in range(5)]).skew(*start).tasks]
        for n in libraries
    )
    assert found == expected


CHANGES = {
    "stamped chain": lambda n, a: n.chain(a, n.rec.s("b")).stamp(s=1),
    "stamped chord": lambda n, a: n.chord([a], n.tsum.s()).stamp(s=1),
    "immutable chord": lambda n, a: n.chord([a], n.tsum.s()).set(immutable=True),
    "frozen chain": lambda n, a: n.chain(a, n.rec.s("b")).freeze(),
    "frozen chord": lambda n, a: n.chord([a], n.tsum.s()).freeze(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_composing_copies(libraries, change):
    for n in libraries:
        a = n.rec.s("a")
        before = json.dumps(a)
        change(n, a)
        assert json.dumps(a) == before


def test_a_map_goes_where_its_task_does(redis_server, libraries):
    for n in libraries:
        n.app.conf.task_routes = {"t.rec": {"queue": "routed"}}
    found, expected = (sent(redis_server, lambda n: n.rec.map([1]).apply_async(), n) for n in libraries)
    assert found == expected
    assert found[0][0] == "routed"


@pytest.mark.parametrize("kind", ["xmap", "xstarmap"])
def test_maps_are_read_by_celerys_names(libraries, kind):
    for n in libraries:
        name = f"celery.{kind[1:]}"
        given = {
            "task": name,
            "args": [],
            "options": {},
            "kwargs": {"task": dict(n.rec.s()), "it": [[1]]},
            "subtask_type": kind,
        }
        read = n.signature(given, app=n.app)
        assert (read.task, read.kwargs["it"]) == (name, [[1]])
