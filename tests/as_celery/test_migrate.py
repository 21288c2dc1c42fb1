"""``celery.contrib.migrate``: a program moves the same messages with Celery and with canvas."""

import os
import subprocess
import sys

PROGRAM = """
import os
import redis
from celery import Celery
from celery.contrib import migrate
from kombu import Connection, Exchange, Queue

URL = os.environ["SERVER"]
server, other = redis.Redis.from_url(URL + "/0"), redis.Redis.from_url(URL + "/2")
app = Celery("x", broker=URL + "/0", set_as_current=True)
quick = {"app": app, "timeout": 0.2}

def show(label, *rest):
    found = [{key.decode(): one.llen(key) for key in sorted(one.keys("*")) if one.type(key) == b"list"} for one in (server, other)]
    print(label, *found, *rest)

def send(number=3, **options):
    server.flushdb()
    other.flushdb()
    return [app.send_task(name, (number,), **options).id for name in ("add", "mul", "add")[:number]]

ids = send()
state = migrate.move(lambda body, message: message.headers["task"] == "add", exchange="", routing_key="adds", source=["celery"], **quick)
show("move", state.filtered, state.count, state)

ids = send()
state = migrate.move(lambda body, message: "moved", transform=lambda name: Queue(name, Exchange(name), name), limit=2,
                     callback=lambda state, body, message: print(state), **quick)
show("limit", state.filtered)

ids = send(priority=6)
migrate.move_by_idmap({ids[1]: Queue("one"), ids[2]: Queue("two")}, **quick)
show("ids")
migrate.move_task_by_id(ids[0], Queue("one"), **quick)
show("id")

ids = send()
migrate.move_direct_by_id(ids[0], "w@h", **quick)
show("direct")

ids = send()
with Connection(URL + "/0") as source, Connection(URL + "/2") as dest:
    state = migrate.migrate_tasks(source, dest, app=app, queues="celery:renamed", timeout=0.2, ack_messages=True)
show("migrated", state, state.total_apx)

ids = send()
with Connection(URL + "/0") as source:
    looked = []
    state = migrate.start_filter(app, source, lambda body, message: looked.append(body[0]), limit=2, timeout=0.2,
                                 queues=["celery"], callback=lambda state, body, message: None)
show("filtered", looked, state.count)
print(migrate.prepare_queues("a:b,c"), migrate.prepare_queues(["a:b"]), migrate.prepare_queues(None),
      migrate.expand_dest(("a", "b"), 1, 2), migrate.expand_dest(True, 1, 2), migrate.task_id_in({1}, {"id": 1}, None))
state = migrate.State()
print(state, state.strtotal)
migrate.filter_status(state, {"task": "add", "id": "1"}, None)
"""
BY_NAME = """
import os
from celery import Celery
from celery.contrib import migrate
from kombu import Queue
app = Celery("x", broker=os.environ["SERVER"] + "/0")
for name in ("add", "mul", "add"):
    app.send_task(name)
moved = []
migrate.move_by_taskmap({"add": Queue("adds")}, timeout=0.2, callback=lambda state, body, message: moved.append(repr(state)))
print(*moved, migrate.move(lambda body, message: False, tasks="mul", timeout=0.2))
"""


def output(folder, server, program, *switch):
    server.client().flushall()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "CANVAS_"))}
    (folder / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, *switch, "program.py"], cwd=folder, env={**env, "SERVER": server.url(0).rpartition("/")[0]},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_messages_are_moved(tmp_path, redis_server):
    canvas = output(tmp_path, redis_server, PROGRAM, "-m", "canvas.as_celery")
    assert canvas == output(tmp_path, redis_server, PROGRAM)


def test_messages_are_chosen_by_the_names_of_their_tasks(tmp_path, redis_server):
    """Celery looks for the name in the body, where protocol 2 has none."""
    assert output(tmp_path, redis_server, BY_NAME, "-m", "canvas.as_celery") == "^1 ^2 1/1\n"
