"""A result backend by the path of its class, or by an entry point of the group ``canvas.drivers``."""

import importlib.metadata
import uuid

import pytest

from canvas import Canvas, chain, chord
from canvas.drivers import open_driver
from canvas.drivers.memory import open_results
from canvas.errors import ConfigurationError
from canvas.testing.contract import ResultStoreContract
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
        ("tests.stores.test_paths:StoresNothing", r"is no ResultStore of canvas.drivers.ports: it lacks store\(\)"),
    ],
)
def test_a_path_without_a_store_is_refused(path, expected):
    with pytest.raises(ConfigurationError, match=expected):
        open_driver("memory://", path)


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
