"""``django-cache``: the records of django-celery-results' cache backend."""

import subprocess
import sys

PROGRAM = """
import signal
import sys
from django.conf import settings
from django.core.cache.backends.base import BaseCache

class Ringing(BaseCache):
    def __init__(self, location, params):
        super().__init__(params)

    def get_many(self, keys, version=None):
        signal.raise_signal(signal.SIGALRM)

def late(*_):
    raise TimeoutError("late")

signal.signal(signal.SIGALRM, late)
settings.configure(INSTALLED_APPS=["django_celery_results"], CACHES={
    "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    "ringing": {"BACKEND": "__main__.Ringing"},
    "results": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": sys.argv[1]},
})
import django
django.setup()
import canvas, celery
from canvas.errors import ConfigurationError

options = {"result_backend": "django-cache", "cache_backend": "results"}
ours = canvas.Canvas("ours", broker="memory://django", **options)
theirs = celery.Celery("theirs", broker="memory://", set_as_current=False)
theirs.conf.update(options)
add = ours.task(name="add")(lambda x, y: x + y)
total = ours.task(name="total")(sum)

ours.backend.store_result("a", {"n": 1}, "SUCCESS")
ours.backend.store_result("b", ValueError("no"), "FAILURE")
assert theirs.AsyncResult("a").get(timeout=5) == {"n": 1}
assert isinstance(theirs.AsyncResult("b").result, ValueError), theirs.AsyncResult("b").result
theirs.backend.store_result("c", KeyError("k"), "FAILURE", traceback="lines")
assert isinstance(ours.AsyncResult("c").result, KeyError) and ours.AsyncResult("c").traceback == "lines"
ours.backend.store_result("a", None, "FAILURE")
assert ours.AsyncResult("a").state == "SUCCESS"

from canvas.testing.worker import start_worker
with start_worker(ours, perform_ping_check=False):
    assert canvas.chord([add.s(1, 1), add.s(2, 2)], total.s()).delay().get(timeout=20) == 6
try:
    canvas.Canvas("bad", broker="memory://", result_backend="django-cache", cache_backend="none").backend
except ConfigurationError as exc:
    print(exc)
try:
    canvas.Canvas("ringing", broker="memory://", result_backend="django-cache", cache_backend="ringing").AsyncResult("a").get(timeout=5)
except TimeoutError as exc:
    assert exc.args == ("late",), exc
else:
    raise AssertionError("nothing was raised")
"""


def test_both_libraries_keep_the_same_objects(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert "The connection 'none' doesn't exist" in done.stdout
    assert "cache_backend names an entry of Django's CACHES" in done.stdout


FAULTY = """
import sys
from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache

class Faulty(LocMemCache):
    ignored = 0

    def set(self, key, value, *args, **options):
        if len(str(value)) < 100_000 and not Faulty.ignored:
            super().set(key, value, *args, **options)
        Faulty.ignored = max(0, Faulty.ignored - 1)

settings.configure(INSTALLED_APPS=["django_celery_results"], CACHES={
    "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    "faulty": {"BACKEND": "__main__.Faulty"},
    "memcached": {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": sys.argv[1]},
})
import django
django.setup()
from canvas import Canvas
from canvas.errors import BrokerError
from canvas.testing.contract import eventually
from canvas.testing.worker import start_worker

def ran(name):
    app = Canvas(name, broker=f"memory://{name}", result_backend="django-cache", cache_backend=name)
    runs, admin = [], app.driver.admin
    many = app.task(name="many")(lambda count: runs.append(count) or "x" * count)
    Faulty.ignored = 8
    with start_worker(app, perform_ping_check=False):
        sent = [many.apply_async((count,), task_id=f"id{count}") for count in (1, 2_000_000)]
        many.apply_async((2,), task_id="with space")
        sent.append(many.delay(3))
        eventually(lambda: admin.queue_length("celery") == admin.in_flight().leased == 0, 60)
        if name != "default":
            assert [len(sent[at].get(timeout=20)) for at in (0, 2)] == [1, 3]
            try:
                sent[1].get(timeout=20)
            except BrokerError as exc:
                print(name, exc)
    return runs

for name in ("default", "faulty", "memcached"):
    assert ran(name) == [1, 2_000_000, 2, 3]
"""


def test_what_a_cache_does_not_keep_is_tried_again_or_refused(memcached):
    """Some caches ignore that their server is away. A worker goes on after values and keys that a cache refuses."""
    place = memcached.url.removeprefix("cache+memcached://").strip("/")
    command = [sys.executable, "-c", FAULTY, place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert "faulty its end was refused: Django's cache 'faulty' does not keep" in done.stdout
    assert "object too large for cache" in done.stdout
