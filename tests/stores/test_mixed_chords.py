"""Chords whose members, bodies and clients are of both libraries, on each store that counts, and where a task looks."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.processes import ROOT, WorkerProcess

LOOKS = {"result_chord_retry_interval": 0.1}
UNLOCK = {"result_chord_unlock": True}


def told(environment, *arguments):
    """What the program of the chords prints."""
    command = [sys.executable, "-m", "tests.support.mixed_chords", *arguments]
    about = {**os.environ, **environment}
    done = subprocess.run(command, env=about, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Stores:
    """The URL of a store by its name, what the environment says of it, and the settings that it needs."""

    def __init__(self, request, folder):
        self._of = request.getfixturevalue
        self._folder = folder

    def redis(self):
        return self._of("redis_server").url(1), {}, {}

    def unordered_redis(self):
        return (
            self._of("redis_server").url(1),
            {},
            {"result_backend_transport_options": {"result_chord_ordered": False}},
        )

    def joined_redis(self):
        return self._of("redis_server").url(1), {}, {"result_backend_transport_options": {"result_chord_join": True}}

    def memcached(self):
        return self._of("memcached_url"), {}, {}

    def files(self):
        return self._of("file_url"), {}, {}

    def sqlite(self):
        return f"db+sqlite:///{self._folder}/results.db", {}, UNLOCK

    def postgresql(self):
        return self._of("postgres").new_database(), {}, UNLOCK

    def django_cache(self):
        return "django-cache", self._django({}), {}

    def django_sqlite(self):
        return "django-db", self._django({}), {}

    def django_postgresql(self):
        server = self._of("postgres")
        name = server.new_database().partition("@/")[2].partition("?")[0]
        return "django-db", self._django({"RESULTS_DATABASE": name, "RESULTS_POSTGRES": server.folder}), {}

    def _django(self, database):
        about = {
            "DJANGO_SETTINGS_MODULE": "tests.support.django_results",
            "RESULTS_DATABASE": f"{self._folder}/results.sqlite3", **database,
        }  # fmt: skip
        told({"APP_LIBRARY": "celery", "APP_BROKER": "memory://", "APP_BACKEND": "cache+memory://", **about}, "migrate")
        return about


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", sorted(name for name in vars(Stores) if not name.startswith("_")))
def test_chords_end_whoever_sends_them_and_runs_their_members(request, tmp_path, redis_url, name):
    url, environment, settings = getattr(Stores(request, tmp_path), name)()
    environment = {**environment, "APP_MORE": json.dumps({**LOOKS, **settings})}
    ours, theirs = (
        ("-P", "threads", "-c", "4", "-Q", "celery,ours"),
        ("-P", "prefork", "-c", "2", "-Q", "celery,theirs"),
    )
    with (
        WorkerProcess("canvas", redis_url, url, *ours, env=environment),
        # Threads of one Celery worker let each other read results in a task, and forbid it.
        WorkerProcess("celery", redis_url, url, *theirs, env=environment),
    ):
        for client in ("canvas", "celery"):
            about = {"APP_LIBRARY": client, "APP_BROKER": redis_url, "APP_BACKEND": url, **environment}
            found = json.loads(told(about).splitlines()[-1])
            if name == "unordered_redis":
                found = {case: [_sorted(value) for value in one] for case, one in found.items()}
            assert {case: one for case, one in found.items() if one[0] != one[1]} == {}


def _sorted(value):
    """The values of a header, in the order in which its tasks ended."""
    return sorted(value) if isinstance(value, list) else value


CHORDS, DISPATCH = "canvas.drivers.sql.chords:SqlChords", "canvas.drivers.two_step:TwoStepSettler.dispatch_chord"
KILLS = [
    f"{CHORDS}.record:before:3", f"{CHORDS}.write:after:3", f"{CHORDS}.record:after:2", f"{CHORDS}.record:after:3",
    f"{CHORDS}.record:after:5", f"{DISPATCH}:before:1", f"{DISPATCH}:after:1",
]  # fmt: skip
"""Before a transaction, in it before its commit, after it; before and after a body is sent."""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["django_sqlite", "django_postgresql"])
def test_chords_of_a_django_project_end_though_workers_of_canvas_are_killed(request, tmp_path, redis_url, name):
    """One worker after the other dies before or after it settles a member, or sends a body."""
    url, environment, settings = getattr(Stores(request, tmp_path), name)()
    environment = {**environment, "APP_MORE": json.dumps({**LOOKS, **settings}), "CHORDS_WITHIN": "120"}
    ours = ("-P", "threads", "-c", "4", "-Q", "celery,ours")
    about = {"APP_LIBRARY": "canvas", "APP_BROKER": redis_url, "APP_BACKEND": url, **environment}
    with (
        WorkerProcess("celery", redis_url, url, "-P", "prefork", "-c", "2", "-Q", "celery,theirs", env=environment),
        ThreadPoolExecutor(1) as threads,
    ):
        found = threads.submit(told, about)
        for instant in KILLS:
            worker = WorkerProcess("canvas", redis_url, url, *ours, env=environment, short_leases=1, die_in=instant)
            assert worker.wait(60) == -signal.SIGKILL, instant
        with WorkerProcess("canvas", redis_url, url, *ours, env=environment, short_leases=1):
            values = json.loads(found.result(150).splitlines()[-1])
    assert {case: one for case, one in values.items() if one[0] != one[1]} == {}
