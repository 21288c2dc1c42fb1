"""Programs that make, change and send messages by ``app.amqp``: Redis has the same messages of Celery and of canvas."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import base64, json, os
from datetime import UTC, datetime
import redis
from celery import Celery, chain, chord, signals
from celery.app.amqp import AMQP, task_message

URL = os.environ["SERVER"]
server = redis.Redis.from_url(URL)

def show(label):
    names = sorted(name for name in server.keys("*") if name.startswith((b"celery", b"other")))
    for name in names:
        for raw in reversed(server.lrange(name, 0, -1)) if server.type(name) == b"list" else ():
            message = json.loads(raw)
            headers, properties = message["headers"], message["properties"]
            args, kwargs, embed = json.loads(base64.b64decode(message["body"]))
            print(label, name, headers["task"], args, kwargs, sorted(k for k in embed if embed[k]), headers.get("mine"),
                  headers["shadow"], headers["ignore_result"], headers["retries"], headers["stamps"],
                  len(headers["argsrepr"]) < 40, properties["delivery_info"]["routing_key"], properties["priority"],
                  properties["correlation_id"] == headers["id"], properties.get("extra"))
    server.flushdb()

def made(**parts):
    app = Celery("x", broker=URL, backend=URL, **parts)
    app.conf.result_expires = None

    @app.task(name="add", ignore_result=False)
    def add(x, y=0):
        return x + y

    @app.task(name="other", queue="other", priority=3)
    def other(x):
        return x

    return app, add, other

app, *_ = made()
now = datetime(2030, 1, 1, tzinfo=UTC)
calls = [
    {}, {"args": [1, {"a": 2}], "kwargs": {"z": 1}},
    {"countdown": 3, "now": now, "timezone": UTC, "create_sent_event": True, "root_id": "r", "parent_id": "p"},
    {"expires": 4, "now": now, "eta": now, "retries": 2, "group_id": "g", "group_index": 3, "time_limit": 4,
     "soft_time_limit": 2, "shadow": "s", "callbacks": [1], "errbacks": [2], "chord": {"c": 1}, "reply_to": "here"},
]
last = {"args": (1, "x" * 3000), "stamped_headers": ["a"], "a": 5, "chain": [{"task": "q"}], "ignore_result": True,
        "kwargsrepr": "h", "origin": "o"}
for protocol, options in [(1, one) for one in calls] + [(2, one) for one in [*calls, last]]:
    message = app.amqp.task_protocols[protocol]("id1", "name", **options)
    assert isinstance(message, task_message)
    message.headers.pop("origin", None)
    body = message.body
    print(sorted(message.headers.items()), message.properties, body if protocol == 2 else sorted(body.items()),
          sorted((message.sent_event or {}).items()))
for wrong in ({"args": "abc"}, {"kwargs": [1]}):
    try:
        app.amqp.as_task_v2("id1", "name", **wrong)
    except TypeError:
        print("TypeError")

class Mine(AMQP):
    argsrepr_maxsize = 20

    def as_task_v2(self, task_id, name, args=None, kwargs=None, *more, **options):
        message = super().as_task_v2(task_id, name, args, kwargs, *more, **options)
        message.headers["mine"] = name.upper()
        args, kwargs, embed = message.body
        return message._replace(body=(args, {**kwargs, "y": 9}, embed))

app, add, other = made(amqp=Mine)
add.delay(1); show("delay")
add.apply_async((2,), shadow="sh", priority=6, retries=2, headers={"h": 1}); show("options")
other.delay("x" * 90); show("other")
chord([add.s(1), add.s(2)], add.s(3)).delay(); show("chord")
chain(add.s(1), other.s()).delay(); show("chain")
stamped = add.s(5)
stamped.stamp(colour="red")
stamped.apply_async(); show("stamped")
app.send_task("unknown", (1,), queue="other", extra="e"); show("send_task")

app, add, other = made()
usual = app.amqp.task_protocols[2]
def patched(task_id, name, *args, **options):
    message = usual(task_id, name, *args, **options)
    message.headers["mine"] = "patched"
    return message
app.amqp.task_protocols[2] = patched
add.delay(1); show("protocols")

app, add, other = made()
send = app.amqp.send_task_message
def wrapped(producer, name, message, **options):
    print(options["queue"].name, options.get("headers"))
    message.headers["mine"] = "wrapped"
    return send(producer, name, message, **{**options, "queue": "other", "headers": {"mine": "more"}})
app.amqp.send_task_message = wrapped
add.delay(1); show("wrapped")
app.amqp.send_task_message = lambda *args, **options: None
add.delay(1); show("nothing")

app, add, other = made()
seen = []
signals.before_task_publish.connect(lambda sender, body, **_: seen.append((sender, body[0])), weak=False)
signals.after_task_publish.connect(lambda sender, **_: seen.append(sender), weak=False)
with app.producer_or_acquire() as producer:
    message = app.amqp.create_task_message("id1", "add", (1, 2), {})
    app.amqp.send_task_message(producer, "add", message, priority=6, headers={"mine": "producer"}, extra="q")
    show("producer")
    app.amqp.send_task_message(producer, "add", app.amqp.as_task_v2("id1", "add", [1], {}), queue="other")
    show("queue")
print(seen)
"""
OWN = """
from celery import Celery
app = Celery("x", broker="{url}", backend="{url}")
app.amqp.send_task_message(None, "add", app.amqp.as_task_v2("id1", "add", [1], {{}}), queue="other", extra="q")
print(app.connection().default_channel.queue_declare("other", passive=True).message_count)
"""


@pytest.fixture
def output(tmp_path, redis_server):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "CANVAS_"))}

    def run(program, *switch):
        redis_server.client().flushall()
        path = tmp_path / "program.py"
        path.write_text(program)
        done = subprocess.run(
            [sys.executable, *switch, path], env={**env, "SERVER": redis_server.url(0)}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_messages_of_programs_with_functions_of_their_own(output):
    assert output(PROGRAM, "-m", "canvas.as_celery") == output(PROGRAM)


def test_a_message_that_is_sent_without_a_producer(output, redis_server):
    program = OWN.format(url=redis_server.url(0))
    assert output(program, "-m", "canvas.as_celery") == "1\n"


REQUESTS = """
from unittest.mock import Mock
from celery import Celery
from celery.app.task import Context
from celery.canvas import maybe_signature
from celery.exceptions import InvalidTaskError
from celery.worker.request import Request
from celery.worker.strategy import hybrid_to_proto2, proto1_to_proto2

app = Celery("x", broker="memory://", backend="cache+memory://")

@app.task(name="add")
def add(x, y):
    pass

def show(request):
    print(request.id, request.name, request.type, request.args, request.kwargs, request.argsrepr, request.kwargsrepr,
          request.hostname, request.root_id, request.parent_id, request.correlation_id, request.reply_to,
          request.delivery_info, request.humaninfo(), request.task == "add")

call = {"args": (1, 2), "kwargs": {"z": 1}, "root_id": "r", "parent_id": "p", "reply_to": "here", "shadow": "other"}
made = app.amqp.as_task_v2("id1", "add", **call)
headers, properties, body, event = made
message = Context(headers=headers, properties=properties, body=body, sent_event=event,
                  delivery_info={"exchange": "e", "routing_key": "k", "redelivered": True})
show(Request(message, decoded=True, task="add", hostname="node"))
show(Request(message, decoded=True, app=app, hostname="node", headers={**headers, "id": "id2"}, body=((), {}, {})))
message = Mock(headers=headers, properties=properties, payload=body, delivery_info=None)
show(Request(message, app=app, hostname="node"))
old = app.amqp.as_task_v1("id3", "add", **call)
body, headers, decoded, utc = hybrid_to_proto2(old, old.body)
headers["ignore_result"] = False
print(body, sorted(headers.items()), decoded, utc)
show(Request(Context(headers=headers, properties=None), body=body, decoded=True, task="add", hostname="node"))
body, headers, decoded, utc = proto1_to_proto2(old, dict(old.body))
print(body, sorted((name, value) for name, value in headers.items() if name != "timelimit"), decoded, utc)
mocked = Mock()
print(maybe_signature(mocked) is mocked)
for convert in (hybrid_to_proto2, proto1_to_proto2):
    try:
        convert(old, {"args": (), "kwargs": 1})
    except InvalidTaskError:
        print("InvalidTaskError")
"""


def test_requests_of_messages(output):
    """Tests of plug-ins make the request that a worker would make of a message."""
    assert output(REQUESTS, "-m", "canvas.as_celery") == output(REQUESTS)
