"""A result backend by the path of its class, or by an entry point of the group ``canvas.drivers``."""

import asyncio
import importlib.metadata
import uuid
from contextlib import contextmanager

import pytest

from canvas import Canvas, chain, chord
from canvas.drivers import open_driver
from canvas.drivers.memory import open_results
from canvas.errors import BrokerError, ConfigurationError, OperationalError
from canvas.testing.contract import ResultStoreContract, eventually
from canvas.testing.worker import start_worker
from docs.examples.dict_store import DictStore

EXAMPLE = "docs.examples.dict_store:DictStore"


def of_parts(url, options):
    return open_results("memory://parts")


class CountsSome(DictStore):
    """Has one method of those that count parts."""

    def start_chords(self, chord_starts, extensions=()): ...


class KeepsSome(DictStore):
    """Has one method of those that keep runs, and all that count parts."""

    save_run = ended_by_celery = start_chords = record = readiness = delete_chord = stale_ready_chords = renew = str


class StoresNothing(DictStore):
    store = None


class Failing(DictStore):
    """Its calls raise these errors."""

    reading, storing = [], []

    def get(self, task_ids, retry=True):
        _raise_first(Failing.reading)
        return super().get(task_ids, retry)

    def store(self, stores):
        _raise_first(Failing.storing)
        super().store(stores)

    @contextmanager
    def watch(self, task_ids):
        _raise_first(Failing.reading)
        with super().watch(task_ids) as watch:
            yield watch


def _raise_first(errors):
    if errors:
        raise errors.pop()


class Unreachable(DictStore):
    def __init__(self, url, options):
        raise ConnectionError("away")


class Wrong(DictStore):
    def __init__(self, url, options):
        raise KeyError("region")


class TestTheExample(ResultStoreContract):
    """A result store of a third party."""

    every_state = False

    @pytest.fixture
    def driver(self):
        DictStore.kept.clear()
        return open_driver(f"memory://{uuid.uuid4()}", EXAMPLE)


@pytest.mark.parametrize("path", [EXAMPLE, "docs.examples.dict_store.DictStore", f"{EXAMPLE}+https://host/x"])
def test_a_chord_ends_where_the_store_counts_no_parts(path):
    with Canvas("own", broker=f"memory://{uuid.uuid4()}", backend=path, set_as_current=False) as app:
        add, total = app.task(name="add")(lambda x, y: x + y), app.task(name="total")(sum)
        with start_worker(app, perform_ping_check=False):
            assert chord([add.s(1, 1), add.s(2, 2)], total.s()).delay().get(timeout=20) == 6
            assert chain(add.s(1, 1), chord([add.s(1)], total.s())).delay().get(timeout=20) == 3


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("proj.store:Store", "No module named 'proj'"),
        ("docs.examples.dict_store:None_", "has no attribute 'None_'"),
        ("builtins:dict", "dict expected at most 1 argument"),
        ("collections:Counter", "takes from 1 to 2 positional arguments"),
        ("celery.backends.filesystem:FilesystemBackend", "A Celery backend cannot be used as it is"),
        ("tests.stores.test_paths:CountsSome", "CountsSome is no ChordStore .* it lacks ended_by_celery, record, "),
        ("tests.stores.test_paths:KeepsSome", r"KeepsSome is no RunRecords .* begin_attempt, mark_attempt, "),
        ("tests.stores.test_paths:Wrong", "result backend 'tests.stores.test_paths:Wrong': KeyError: 'region'"),
        ("tests.stores.test_paths:StoresNothing", r"is no ResultStore of canvas.drivers.ports: it lacks store\(\)"),
    ],
)
def test_a_path_without_a_store_is_refused(path, expected):
    with pytest.raises(ConfigurationError, match=expected):
        open_driver("memory://", path)


@pytest.fixture
def failing():
    """An app whose store fails, and the runs of its task."""
    ran = []
    broker, path = f"memory://{uuid.uuid4()}", "tests.stores.test_paths:Failing"
    with Canvas("own", broker=broker, backend=path, set_as_current=False) as app:
        app.task(name="note")(lambda n: ran.append(n) or n)
        with start_worker(app, perform_ping_check=False):
            yield app, ran
    Failing.reading.clear()
    Failing.storing.clear()


@pytest.mark.parametrize("error", [ConnectionError("away"), OSError("away"), RuntimeError("throttled")], ids=repr)
def test_a_store_that_raises_any_exception_is_tried_again(failing, error):
    """A worker that such an exception ended would run its tasks again."""
    app, ran = failing
    Failing.storing += [error] * 4
    sent = app.tasks["note"].delay(1)
    eventually(lambda: not Failing.storing)
    Failing.reading += [error] * 2
    assert sent.get(timeout=20) == 1
    Failing.reading.append(error)
    assert asyncio.run(sent.aget(timeout=20)) == 1
    assert ran == [1]


def test_a_mistake_in_a_store_is_not_tried_again(failing):
    app, ran = failing
    Failing.storing += [KeyError("region")] * 2  # the batch, and its only settlement
    with pytest.raises(BrokerError, match=r"its end was refused: result backend '.*Failing': KeyError: 'region'"):
        app.tasks["note"].delay(1).get(timeout=20)
    assert ran == [1]


def test_a_store_that_is_unreachable_when_it_is_made():
    with pytest.raises(OperationalError, match=r"result backend '.*Unreachable': ConnectionError: away"):
        open_driver("memory://", "tests.stores.test_paths:Unreachable")


def test_an_entry_point(monkeypatch):
    entries = [
        importlib.metadata.EntryPoint("dict", EXAMPLE, "canvas.drivers"),
        importlib.metadata.EntryPoint("parts", "tests.stores.test_paths:of_parts", "canvas.drivers"),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [e for e in entries if e.group == group])
    assert isinstance(open_driver("memory://", "dict://anything").results, DictStore)
    assert open_driver("memory://", "parts://").capabilities >= {"runs", "parts"}
    with pytest.raises(ConfigurationError, match="the driver 'dict' has no open_broker"):
        open_driver("dict://", None)
