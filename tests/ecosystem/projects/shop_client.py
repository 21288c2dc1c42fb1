import json
import os
import pickle
import threading
import time
from contextlib import suppress
from unittest.mock import patch

import kombu
import shop
from celery import chord, group
from celery.events.snapshot import Polaroid
from celery.exceptions import TimeLimitExceeded
from celery.local import PromiseProxy, Proxy
from kombu.exceptions import OperationalError

state = shop.app.events.State()
seen = []


class Camera(Polaroid):
    def on_shutter(self, state):
        seen.append((state.event_count > 0, len(list(state.alive_workers()))))


def watch():
    handlers = {
        "task-progress": lambda event: progress.append((event["percent"], event["hostname"][:2])),
        "*": state.event,
    }
    with shop.app.connection() as connection:
        shop.app.events.Receiver(connection, handlers=handlers).capture(limit=None, timeout=60)


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, [state, progress, seen]
        time.sleep(0.02)


progress = []
camera = Camera(state, freq=0.05, app=shop.app)
camera.install()
threading.Thread(target=watch, daemon=True).start()
until(lambda: state.workers)

assert shop.result_of(shop.add.delay(1, 2)) == 3
assert shop.add.apply_async((2, 2), serializer="backwards").get(timeout=30) == 4
assert shop.urgent.delay().get(timeout=30) == [7, "shop.urgent", "shop", "shop"]
assert [shop.add.apply_async((n, 0), priority=n).get(timeout=30) for n in (0, 3, 5, 9)] == [0, 3, 5, 9]
assert shop.slow_count.delay().get(timeout=30) == "slow"
assert chord(group(shop.add.s(n, 1) for n in range(2)))(shop.slow_count.si()).get(timeout=30) == "slow"
assert shop.tells.delay().get(timeout=30) is True
try:
    shop.fails.delay().get(timeout=30)
except KeyError as exc:
    assert exc.args == ("nothing",)
with suppress(TimeLimitExceeded):
    shop.endless.delay(60).get(timeout=30)
with patch("shop.add.delay") as delay:
    shop.add.delay(5)
delay.assert_called_once_with(5)
assert shop.add.delay(1, 1).get(timeout=30) == 2
assert (shop.app.conf.EMAIL_BACKEND, shop.app.conf.shop_opens) == ("of the project", "09:00")
assert shop.app.conf.beat_schedule["nightly"]["schedule"].hour == {3, 4}
copy = pickle.loads(pickle.dumps(shop.app))
assert (copy.main, copy.conf.broker_url) == ("shop", os.environ["BROKER"])
assert Proxy(lambda: shop.app)._get_current_object() is shop.app and PromiseProxy(lambda: 3).__maybe_evaluate__() == 3
with shop.app.producer_or_acquire() as producer:
    letters = kombu.Queue("letters", kombu.Exchange("letters"), routing_key="letters")
    producer.publish({"text": "hello"}, exchange="letters", routing_key="letters", declare=[letters])
with shop.app.connection_for_write() as connection:
    connection.ensure_connection(max_retries=3)
    assert connection.default_channel.queue_declare("slow").message_count == 0
until(lambda: progress == [(50, "w@")])
until(lambda: any(task.name == "shop.fails" and task.state == "FAILURE" for task in list(state.tasks.values())))
until(lambda: (True, 1) in seen)
camera.cancel()
worker = next(iter(state.workers.values()))
print(json.dumps([state.task_types(), worker.alive, issubclass(OperationalError, Exception)]))
