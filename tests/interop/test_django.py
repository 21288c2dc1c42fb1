"""A Django project, written as Celery's users write it, with either library."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import WorkerProcess

SITE = Path(__file__).parent.parent / "support" / "bakery_site"
SET_UP = """
import json, os, django, redis
django.setup()
from django.core.management import call_command
from django.db import transaction
from bakery import celery_app
from orders import tasks
"""
BAKED = SET_UP + "print(json.dumps([tasks.bake.delay(str(n)).get(timeout=30) for n in range(7)]))"
ON_COMMIT = (
    SET_UP
    + """
broker = redis.Redis.from_url(os.environ["APP_BROKER"])
seen = []
with transaction.atomic():
    tasks.bake.apply_async_on_commit(("a",), queue="idle")
    tasks.bake.delay_on_commit("b")
    seen.append((broker.llen("idle"), broker.llen("celery")))
seen.append((broker.llen("idle"), broker.llen("celery")))
try:
    with transaction.atomic():
        tasks.bake.apply_async_on_commit(("a",), queue="idle")
        raise KeyError
except KeyError:
    seen.append((broker.llen("idle"), broker.llen("celery")))
tasks.bake.delay_on_commit("c")
print(json.dumps([*seen, (broker.llen("idle"), broker.llen("celery"))]))
"""
)


def environment(bench, library, database):
    broker, backend, _ = bench.urls()
    return {
        "APP_LIBRARY": library, "APP_BROKER": broker, "APP_BACKEND": backend, "BAKERY_DATABASE": str(database),
        "DJANGO_SETTINGS_MODULE": "bakery.settings",
    }  # fmt: skip


@pytest.fixture(scope="module")
def empty_database(bench, tmp_path_factory):
    database = tmp_path_factory.mktemp("bakery") / "empty.sqlite3"
    about = environment(bench, "canvas", database)
    told(about, SET_UP + "call_command('migrate', run_syncdb=True, verbosity=0); print(0)")
    return database


@pytest.fixture
def site(bench, tmp_path, empty_database):
    """What environment the project has with a library, its database empty."""

    def site(library, **more):
        bench.empty()
        database = shutil.copy(empty_database, tmp_path / f"{library}.sqlite3")
        return {**environment(bench, library, database), **more}

    return site


def told(about, script):
    """What a script of the project prints, from JSON."""
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **about},
        cwd=SITE,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def worker(bench, about, *arguments):
    broker, backend, _ = bench.urls()
    return WorkerProcess(about["APP_LIBRARY"], broker, backend, *arguments, app="bakery", env=about, cwd=SITE)


@pytest.mark.parametrize(
    ("pool", "reuse"),
    [
        pytest.param(("solo",), "", id="solo, each closes"),
        pytest.param(("solo",), "2", id="solo, reused", marks=pytest.mark.slow),
        pytest.param(("prefork", "-c", "1"), "", id="prefork, each closes", marks=pytest.mark.slow),
        pytest.param(("prefork", "-c", "1"), "2", id="prefork, reused"),
    ],
)
def test_its_tasks_are_found_and_connections_last_as_long_as_with_celery(bench, site, pool, reuse):
    baked = {}
    for library in ("canvas", "celery"):
        about = site(library, **({"BAKERY_REUSE": reuse} if reuse else {}))
        with worker(bench, about, "-P", *pool) as running:
            baked[library] = told(about, BAKED)
            assert "raised" not in "".join(running.log)
    assert baked["canvas"] == baked["celery"]
    assert [count for _, count in baked["canvas"]] == list(range(1, 8))
    assert any(was_open for was_open, _ in baked["canvas"]) is bool(reuse)


def test_tasks_are_sent_when_a_transaction_is_committed(bench, site):
    seen = {library: told(site(library), ON_COMMIT) for library in ("canvas", "celery")}
    assert seen["canvas"] == seen["celery"] == [[0, 0], [1, 1], [1, 1], [1, 2]]


@pytest.mark.parametrize("pool", ["asyncio", "threads"])
def test_coroutines_use_the_database(bench, site, pool):
    about = site("canvas")
    with worker(bench, about, "-P", pool, "-c", "3") as running:
        script = "print(json.dumps([tasks.abake.delay(str(n)).get(timeout=30) for n in range(5)]))"
        assert told(about, SET_UP + script) == [1, 2, 3, 4, 5]
        assert told(about, BAKED)[-1] == [False, 12]
        assert "raised" not in "".join(running.log)


def test_a_setting_of_django_that_is_wrong_stops_the_worker(bench, site):
    about = {**site("canvas"), "DJANGO_SETTINGS_MODULE": "bakery.nothing"}
    running = worker(bench, about, "-P", "solo")
    assert running.wait(30) != 0
    assert "bakery.nothing" in "".join(running.log)
