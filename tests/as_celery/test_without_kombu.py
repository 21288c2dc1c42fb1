"""Programs that import kombu and billiard, where neither is installed."""

from tests.as_celery.test_names import run

HIDDEN = """
import importlib.machinery, json
find = importlib.machinery.PathFinder.find_spec
hidden = ("kombu", "billiard", "vine", "amqp")
def find_others(name, *args):
    return None if name.split(".")[0] in hidden else find(name, *args)
importlib.machinery.PathFinder.find_spec = find_others
import canvas.as_celery
"""


def test_helpers_work():
    program = """
from billiard import current_process
from billiard.exceptions import SoftTimeLimitExceeded, WorkerLostError
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded as Theirs
from kombu import Connection, Exchange, Queue
from kombu.entity import TRANSIENT_DELIVERY_MODE
from kombu.exceptions import ContentDisallowed, KombuError, OperationalError, SerializationError
from kombu.pools import producers
from kombu.mixins import ConsumerMixin
from kombu.serialization import dumps, loads, prepare_accept_content, register, registry
from kombu.utils.encoding import bytes_to_str, safe_str
from kombu.utils.functional import LRUCache, maybe_list, retry_over_time
from kombu.utils.json import register_type
from kombu.utils.url import maybe_sanitize_url
import kombu, kombu.utils.json

class Money:
    def __init__(self, cents):
        self.cents = cents

register_type(Money, "money", lambda money: money.cents, Money)
register("reversed", lambda value: json.dumps(value)[::-1], lambda text: json.loads(text[::-1]), "application/x-reversed")
app = Celery("shop", broker="memory://", backend="memory://", task_always_eager=True, task_store_eager_result=True)
app.conf.update(task_queues=[Queue("a", Exchange("a"), "a")], accept_content=["json", "reversed"])

@app.task
def twice(money):
    return Money(2 * money.cents)

tries = []
def fails_once():
    tries.append(1)
    if len(tries) < 2:
        raise OperationalError("away")
    return "done"

refused = []
for use in (lambda: Connection("redis://"), lambda: producers[None], lambda: type("Mine", (ConsumerMixin,), {})()):
    try:
        use()
    except Exception as exc:
        refused.append("install kombu" in str(exc))
kind, encoding, written = dumps({"a": 1}, "reversed")
try:
    loads(written, kind, encoding, accept={"application/json"})
except KombuError as exc:
    refused.append(isinstance(exc, (ContentDisallowed, SerializationError)))
print(json.dumps([
    twice.delay(Money(3)).get().cents, kombu.utils.json.loads(kombu.utils.json.dumps(Money(4))).cents,
    loads(written, kind, encoding, accept={kind}), sorted(prepare_accept_content(["json", "reversed"])),
    retry_over_time(fails_once, OperationalError, interval_start=0), maybe_list("a"), safe_str(b"x"), bytes_to_str("y"),
    maybe_sanitize_url("redis://:secret@host"), SoftTimeLimitExceeded is Theirs, current_process().name, refused,
    TRANSIENT_DELIVERY_MODE, type(Celery("far", broker="redis://localhost:1", set_as_current=False).connection()).__module__, sorted(app.amqp.queues),
]))
"""
    assert run(HIDDEN + program) == [
        6, 4, {"a": 1}, ["application/json", "application/x-reversed"], "done", ["a"], "x", "y", "redis://:**@host", True,
        "MainProcess", [True] * 4, 1, "canvas.app.connection", ["a"],
    ]  # fmt: skip


def test_every_served_name_is_there():
    program = """
import importlib
from canvas.celery_names.names import KOMBUS_WITHOUT, MEMBERS
served = {m: list(names) for m, names in MEMBERS.items() if m.startswith(("kombu", "billiard"))}
for module, names in KOMBUS_WITHOUT.items():
    served.setdefault(module, []).extend(names.split())
print(json.dumps([f"{m}.{n}" for m, names in served.items() for n in names if not hasattr(importlib.import_module(m), n)]))
"""
    assert run(HIDDEN + program) == []
