"""``django-db`` in a Django project, unchanged but for its imports; with workers and clients of either library."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import WorkerProcess

SITE = Path(__file__).parent.parent / "support" / "bakery_site"
SET_UP = """
import json, os, django
django.setup()
from django.core.management import call_command
from bakery import celery_app
from orders import tasks
from importlib import import_module
chord, group = (getattr(import_module(os.environ["APP_LIBRARY"]), name) for name in ("chord", "group"))
"""
MIGRATE = SET_UP + "call_command('migrate', run_syncdb=True, verbosity=0); print(0)"
PRICED = """
sent = [tasks.price.delay("rye", pieces=n) for n in range(3)]
values = [one.get(timeout=30)["price"] for one in sent]
failed = tasks.price.delay("")
try:
    failed.get(timeout=30)
except ZeroDivisionError:
    pass
from django_celery_results.models import TaskResult
shown = TaskResult.objects.get(task_id=sent[2].id)
bad = TaskResult.objects.get(task_id=failed.id)
celery_app.GroupResult("g", sent).save()
found = {
    "values": values, "states": [sent[0].state, failed.state], "failure": [bad.status, "ZeroDivisionError" in bad.traceback],
    "columns": [shown.task_name, shown.task_args, shown.task_kwargs, shown.status, shown.content_type,
                shown.content_encoding, json.loads(shown.result), json.loads(shown.meta), shown.periodic_task_name, bool(shown.worker)],
    "times": shown.date_created <= shown.date_done, "started": shown.date_started is not None,
    "args": [sent[2].args, sent[2].kwargs],
    "group": [one.id for one in celery_app.GroupResult.restore("g")] == [one.id for one in sent],
    "stays": TaskResult.objects.filter(status="SUCCESS").count(),
}
"""
JOINED = (
    PRICED
    + """
found["chord"] = chord([tasks.price.s("rye", pieces=n) for n in range(4)], tasks.total.s()).delay().get(timeout=30)
"""
)
SHOW = "print(json.dumps(found))"


def told(about, script):
    """What a script of the project prints, from JSON."""
    environment = {**os.environ, **about}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=SITE, capture_output=True, text=True, timeout=90
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def about(request, redis_url, tmp_path):
    """The environment of the project, its database migrated."""
    about = {"APP_BROKER": redis_url, "APP_BACKEND": "django-db", "DJANGO_SETTINGS_MODULE": "bakery.settings"}
    if request.param == "sqlite":
        about["BAKERY_DATABASE"] = str(tmp_path / "bakery.sqlite3")
    else:
        server = request.getfixturevalue("postgres")
        about["BAKERY_POSTGRES"] = server.folder
        about["BAKERY_DATABASE"] = server.new_database().partition("@/")[2].partition("?")[0]
    told({**about, "APP_LIBRARY": "celery"}, MIGRATE)
    return about


def worker(about, library, broker):
    environment = {**about, "APP_LIBRARY": library}
    return WorkerProcess(
        library, broker, "django-db", "-P", "solo", app="bakery", env=environment, cwd=SITE, new_program=True
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_rows_are_those_of_celerys_workers_and_read_both_ways(about, redis_url):
    found = {}
    for served in ("celery", "canvas"):
        with worker(about, served, redis_url):
            for client in ("celery", "canvas"):
                script = JOINED if client == served == "canvas" else PRICED
                found[client, served] = told({**about, "APP_LIBRARY": client}, SET_UP + script + SHOW)
    reference = found["celery", "celery"]
    assert found["canvas", "canvas"].pop("chord") == 18
    assert [one.pop("stays") for one in found.values()] == [3, 6, 9, 12]
    for pair, one in found.items():
        assert one["columns"] == reference["columns"], pair
        assert one == reference, pair


REFUSED = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS={apps}, DATABASES={{"default": {{"ENGINE": "django.db.backends.{engine}", "NAME": "{name}"}}}})
django.setup()
from canvas import Canvas
try:
    Canvas("own", broker="memory://", backend="django-db").AsyncResult("a").state
except Exception as exc:
    print('"' + type(exc).__name__ + ": " + str(exc).replace('"', "'").splitlines()[0] + '"')
"""


@pytest.mark.parametrize(
    ("apps", "engine", "name", "said"),
    [
        ([], "sqlite3", "x.db", "ConfigurationError: .*add 'django_celery_results' to INSTALLED_APPS"),
        (["django_celery_results"], "sqlite3", ":memory:", "ConfigurationError: .*set NAME to the path of a file"),
        (["django_celery_results"], "sqlite3", "{tmp}/x.db", "TablesMissing: .*migrate django_celery_results"),
    ],
    ids=["not installed", "in memory", "not migrated"],
)
def test_what_cannot_be_used_is_named(apps, engine, name, said, tmp_path):
    script = REFUSED.format(apps=apps, engine=engine, name=name.format(tmp=tmp_path))
    assert re.match(said, told({}, script))
