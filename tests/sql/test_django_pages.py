"""The settings, pages, admin and models of django-celery-results: a project shows the same on canvas as on Celery."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, WorkerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
SITE = Path(__file__).parent.parent / "support" / "results_site"
STARTS = {"celery": (), "canvas": ("-m", "canvas.as_celery")}


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request, redis_url, tmp_path):
    """The environment of the project, for a library."""

    def environment(library, use_tz):
        about = {
            "DJANGO_SETTINGS_MODULE": "settings", "SITE_BROKER": redis_url, "SITE_USE_TZ": use_tz,
            "SITE_DATABASE": str(tmp_path / f"{library}.sqlite3"), "PYTHONPATH": f"{ROOT}:{SITE}",
            "CANVAS_AS_CELERY": str(int(library == "canvas")), "APP_LIBRARY": library,
        }  # fmt: skip
        if request.param == "postgresql":
            server = request.getfixturevalue("postgres")
            about["SITE_POSTGRES"] = server.folder
            about["SITE_DATABASE"] = server.new_database().partition("@/")[2].partition("?")[0]
        return {**os.environ, **about}

    return environment


def told(library, environment, *arguments):
    """What the project prints."""
    command = [sys.executable, "-W", "ignore", *STARTS[library], "pages.py", *arguments]
    done = subprocess.run(command, env=environment, cwd=SITE, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("use_tz", ["0", "1"], ids=["naive", "aware"])
def test_a_project_shows_the_same_results(environment, redis_url, use_tz):
    found = {}
    for library in STARTS:
        about = environment(library, use_tz)
        told(library, about, "migrate")
        with WorkerProcess(
            library, redis_url, "django-db", "-P", "solo", app="project", env=about, cwd=SITE, new_program=True
        ):
            found[library] = json.loads(told(library, about).splitlines()[-1])
    assert found["canvas"] == found["celery"]
    assert (found["canvas"]["chord"], found["canvas"]["after the clean-up"]) == (6, 0)
    assert all(found["canvas"]["listed"]) and all(found["canvas"]["page"])
