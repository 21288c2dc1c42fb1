"""A program that keeps results in a store of its own, by Celery's class for that, and extends a class of a server's."""

import os
from pathlib import Path

from celery import Celery, chord, group, states
from celery.backends.base import KeyValueStoreBackend
from celery.backends.redis import RedisBackend
from celery.utils.log import get_task_logger
from kombu.utils.encoding import bytes_to_str

logger = get_task_logger(__name__)


class FolderBackend(KeyValueStoreBackend):
    supports_autoexpire = False

    def __init__(self, *args, url=None, **kwargs):
        super().__init__(*args, url=url, **kwargs)
        self.folder = Path(url.partition("://")[2])

    def get(self, key):
        path = self.folder / bytes_to_str(key)
        return path.read_bytes() if path.exists() else None

    def mget(self, keys):
        return [self.get(key) for key in keys]

    def set(self, key, value):
        path = self.folder / bytes_to_str(key)
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_bytes(value if isinstance(value, bytes) else value.encode())
        new.rename(path)

    def delete(self, key):
        (self.folder / bytes_to_str(key)).unlink(missing_ok=True)


class VaultRedisBackend(RedisBackend):
    """The address comes from elsewhere."""

    def __init__(self, *args, **kwargs):
        kwargs["url"] = os.environ["RESULTS"]
        super().__init__(*args, **kwargs)


KINDS = {
    "folder": f"stored:FolderBackend+folder://{os.environ['FOLDER']}",
    "vault": "stored.VaultRedisBackend",
}
app = Celery("stored", broker=os.environ["BROKER"], backend=KINDS[os.environ["KIND"]])
app.conf.update(result_extended=True, task_track_started=True)


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=1)
def fails(self):
    try:
        raise KeyError("on purpose")
    except KeyError as exc:
        raise self.retry(exc=exc, countdown=0) from exc


def check():
    done = add.delay(1, 2)
    assert done.get(timeout=20) == 3
    assert (done.name, done.kwargs, done.state) == ("stored.add", {}, states.SUCCESS), (done.name, done.kwargs)
    failed = fails.delay()
    assert isinstance(failed.get(timeout=20, propagate=False), KeyError)
    assert "on purpose" in failed.traceback
    several = group(add.s(n, n) for n in range(3)).apply_async()
    assert several.get(timeout=20) == [0, 2, 4]
    several.save()
    assert app.GroupResult.restore(several.id).get(timeout=20) == [0, 2, 4]
    assert chord([add.s(1, 1), add.s(2, 2)], total.s()).delay().get(timeout=30) == 6
    done.forget()
    assert app.AsyncResult(done.id).state == states.PENDING
    print("stored")
