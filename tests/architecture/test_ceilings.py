"""Numbers of the structure that may only fall. When a change lowers one, lower its ceiling here too."""

import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.architecture.structure import (
    MODULES,
    ROOT,
    any_apps,
    circles,
    foreign_private_names,
    functions,
    made,
    spells_key,
)
from tests.support.processes import ROOT as CHECKOUT

FILE_LINES = 300
FUNCTION_LINES = 40
FILES_IN_A_FOLDER = 15

LONG_FILES: dict[str, int] = {}
CROWDED_FOLDERS: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}
FILES_IN_CIRCLES = 0
"""Files that import each other, directly or not, once imports for type checkers count."""
FOREIGN_PRIVATE_NAMES = 0
ANY_APPS: dict[str, int] = {}
"""Parameters and attributes named ``app`` without a type, by file."""
THREADS = {
    "canvas.beat.scheduler_classes.service": 1,
    "canvas.cli.demo.page": 1,
    "canvas.drivers.redis.partitions.away": 1,
    "canvas.drivers.rpc.reader": 1,
    "canvas.drivers.sql.connections.announcements": 1,
    "canvas.execution.background": 1,
    "canvas.testing.worker": 1,
    "canvas.worker.control.process_commands": 1,
    "canvas.worker.node": 1,
    "canvas.worker.pools.asyncio_pool": 1,
    "canvas.worker.pools.child_channel": 1,
    "canvas.worker.pools.parent_death": 1,
    "canvas.worker.process": 1,
    "canvas.worker.shutdown": 1,
    "canvas.worker.signal_handlers": 1,
    "canvas.worker.stop_while_starting": 1,
    "canvas.worker.stopping": 2,
}
"""Threads by the file that makes them. What is done again and again is a ``BackgroundService``; these run tasks, wait
for one thing, or make one call."""
ROUTES = {"link": (117, 28, 61), "chord": (170, 24, 71)}
"""Calls, files and changes of file: of one chain link in a worker with one slot, and of ``chord(...).delay()``
(docs/decisions/0043)."""
_PROCESSES = 5
_OTHERS = [path for folder in ("tests", "benchmarks", "docs") for path in (CHECKOUT / folder).rglob("*.py")]
_FILES = MODULES | {path.relative_to(CHECKOUT).as_posix(): path for path in _OTHERS}
_BANNER = re.compile(r"\s*#\s*[-=*#~]{2}")


def test_long_files():
    found = {name: len(path.read_text().splitlines()) for name, path in _FILES.items()}
    assert {name: lines for name, lines in found.items() if lines > LONG_FILES.get(name, FILE_LINES)} == {}
    assert {name for name in LONG_FILES if found.get(name, 0) <= FILE_LINES} == set(), "take these off the list"


def test_section_banners():
    """A banner says that a file or a class has two subjects: split it, or let the names say it."""
    found = [
        f"{name}:{number}"
        for name, path in _FILES.items()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _BANNER.match(line)
    ]
    assert found == []


def test_crowded_folders():
    found = Counter(path.parent.relative_to(ROOT).as_posix() for path in MODULES.values())
    assert {n: files for n, files in found.items() if files > CROWDED_FOLDERS.get(n, FILES_IN_A_FOLDER)} == {}
    assert {n for n in CROWDED_FOLDERS if found[n] <= FILES_IN_A_FOLDER} == set(), "take these off the list"


def test_long_functions():
    found = {f"{name}.{function}": n for name in MODULES for function, n in functions(name) if n > FUNCTION_LINES}
    assert {name: lines for name, lines in found.items() if lines > LONG_FUNCTIONS.get(name, 0)} == {}
    assert LONG_FUNCTIONS.keys() - found.keys() == set(), "take these off the list"


def test_circles_with_imports_for_type_checkers():
    found = circles(with_types=True)
    assert sum(map(len, found)) <= FILES_IN_CIRCLES, found


def test_private_names_of_other_files():
    found = [f"{name}:{use}" for name in MODULES for use in foreign_private_names(name)]
    assert len(found) <= FOREIGN_PRIVATE_NAMES, found


def test_threads_beside_those_of_background_services():
    found = {name: count for name in MODULES if (count := len(made(name, "Thread")))}
    assert {name: count for name, count in found.items() if count > THREADS.get(name, 0)} == {}
    assert THREADS.keys() - found.keys() == set(), "take these off the list"


def test_one_place_spells_a_signature():
    assert [name for name in MODULES if spells_key(name, "subtask_type")] == ["canvas.primitives.fields"]


def test_parameters_named_app_without_a_type():
    found = {name: len(any_apps(name)) for name in MODULES if any_apps(name)}
    assert {name: count for name, count in found.items() if count > ANY_APPS.get(name, 0)} == {}
    assert ANY_APPS.keys() - found.keys() == set(), "take these off the list"


@pytest.mark.parametrize("route", ROUTES)
def test_how_far_one_message_travels(route, redis_url, result_url):
    """In the best of some processes: what a busy machine adds, it may add to every link of one."""
    command = [sys.executable, "-m", "tests.support.straightness", redis_url, result_url, route]
    allowed = dict(zip(("calls", "files", "switches"), ROUTES[route], strict=True))
    for _ in range(_PROCESSES):
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        if all(number <= allowed[name] for name, number in found.items()):
            return
    assert {name: number for name, number in found.items() if number > allowed[name]} == {}, found
