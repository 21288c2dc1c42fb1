"""Old versions of Celery, each in a virtual environment of its own in ``.celery-versions``, and what they run there."""

import json
import os
import shutil
import subprocess
import sys
from fcntl import LOCK_EX, flock

from tests.support.processes import ROOT

FOLDER = ROOT / ".celery-versions"
USED_BY_TESTS = ["pydantic", "msgpack", "pytest"]
VERSIONS = {
    "5.2": ["celery[redis]==5.2.*", "kombu==5.2.*", "redis==4.*", "setuptools<81"],
    "5.3": ["celery[redis]==5.3.*", "kombu==5.3.*", "redis==4.*", "setuptools<81"],
    "5.4": ["celery[redis]==5.4.*", "kombu==5.4.*", "redis==5.0.*"],
    "5.4-new": ["celery==5.4.*", "kombu[redis]==5.7.*", "redis==8.1.*"],
    "5.5": ["celery[redis]==5.5.*"],
    "5.6": ["celery[redis]==5.6.*", "kombu==5.6.*"],
}
"""What pip installs for each version: libraries of its own time. ``5.4-new`` has those of today. With redis 5.3, a client
of Celery 5.4 may wait for ever for a lock that it holds: where a result is deleted while another unsubscribes."""


def interpreter(version):
    """The Python program of the version's environment, which is made first where it is not complete."""
    FOLDER.mkdir(exist_ok=True)
    home, wanted = FOLDER / version, VERSIONS[version] + USED_BY_TESTS
    complete = home / "complete.json"
    with (FOLDER / f"{version}.lock").open("w") as lock:
        flock(lock, LOCK_EX)  # test processes share the folder
        if not complete.exists() or json.loads(complete.read_text()) != wanted:
            shutil.rmtree(home, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(home))
            _run(str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted)
            complete.write_text(json.dumps(wanted))
    return home / "bin" / "python"


def _run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


def battery(python, library, bench, *names, timeout=600):
    """The lines of :mod:`tests.support.battery`, run with this library, by the cases' names.

    ``python`` is the environment's Python program; ``None``: the one of the tests."""
    broker, backend, ledger = bench.urls()
    environment = {
        **os.environ,
        "APP_LIBRARY": library,
        "APP_BROKER": broker,
        "APP_BACKEND": backend,
        "APP_LEDGER": ledger,
    }
    done = subprocess.run(
        [str(python or sys.executable), "-m", "tests.support.battery", *names],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"the battery ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
