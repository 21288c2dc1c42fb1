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
