"""The test suites of plug-ins of Celery: which there are, and how one is downloaded and run."""

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
KNOWN = tomllib.loads(Path(__file__).with_name("known.toml").read_text())
"""By suite: the tests that pass with Celery and fail on canvas, each with the reason."""
TOOLS = ["celery[redis]==5.7.0", "ephem", "fakeredis", "freezegun", "hatch-vcs", "hatchling", "pbr", "pytest<9", "pytest-django",
         "pytest-timeout", "setuptools<81", "setuptools-scm", "wheel"]  # fmt: skip
"""Installed beside canvas: what the suites need, and what builds the sources."""


class Suite(NamedTuple):
    """The test suite in a source distribution."""

    package: str
    version: str
    words: tuple[str, ...] = ()
    """Arguments of pytest."""
    needs: tuple[str, ...] = ()
    """Packages that only this suite needs."""


SUITES = [
    Suite("celery-redbeat", "2.4.2", ("tests",)),
    Suite("django-celery-beat", "2.9.0", ("t",)),
    Suite("django-celery-results", "2.6.0", ("t", "--ignore", "t/integration")),
    Suite("flower", "2.2.0", ("tests",)),
    Suite("opentelemetry-instrumentation-celery", "0.66b2", ("tests",), ("opentelemetry-test-utils",)),
    Suite("celery-diagnostics", "0.2.0", ("tests",)),
    Suite("celery-executor", "0.2.0", ("tests", "-o", "addopts=")),
    Suite("celery-farm", "0.1.1", ("tests",)),
    Suite("celery-liveops", "0.1.0", ("tests",), ("fastapi", "httpx", "pytest-asyncio")),
    Suite("celery-multibeat-scheduler", "0.1.0", ("tests",)),
    Suite("celery-once-task", "1.0.0", ("tests",)),
    Suite("celery-ranch", "0.1.1", ("tests",)),
    Suite("celery-saga", "0.1.1", ("tests",)),
    Suite("celery-svcs", "25.10.0", ("tests",)),
    Suite("celery-typed", "0.2.0", ("tests",)),
    Suite("celery-chain-router", "0.2.0", ("tests",)),
    Suite("celery-healthcheck", "0.3.0", ("tests",)),
    Suite("celeryflow", "0.2.0", ("tests",), ("pyyaml",)),
    Suite("pyramid-tasks", "0.4.0", ("tests",)),
]
WITHOUT_SUITE = {
    "celery-bloom": ("celery_bloom", "0.1.0"), "celery-board": ("celery_board", "0.1.0"),
    "celery-dispatcher": ("celery_dispatcher", "1.0.0"), "celery-pubsub": ("celery_pubsub", "1.0.0"),
    "celery-pulse": ("celery_pulse", "0.0.4"),
}  # fmt: skip
"""Packages that publish no tests, or tests that fail with Celery, too: the module of each, and its version."""


def install(folder: Path) -> Path:
    """The Python of a new environment with canvas, Celery, the plug-ins, and what their suites need."""
    venv.create(folder)
    python = folder / "bin" / "python"
    packages = [
        *TOOLS,
        *(f"{one.package}=={one.version}" for one in SUITES),
        *(name for one in SUITES for name in one.needs),
        *(f"{package}=={version}" for package, (_, version) in WITHOUT_SUITE.items()),
    ]
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "-e", ROOT, *packages]
    subprocess.run(command, check=True, timeout=900)
    return python


def unpacked(suite: Suite, python: Path, folder: Path) -> Path:
    """The source distribution of a suite, below ``folder``."""
    command = [sys.executable, "-m", "pip", "--python", python, "download", "-q", "--no-deps", "--no-build-isolation",
               "--no-binary", suite.package, "-d", folder, f"{suite.package}=={suite.version}"]  # fmt: skip
    subprocess.run(command, check=True, timeout=300)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(folder, filter="data")
    (root,) = (one for one in folder.iterdir() if one.is_dir())
    return root


def failed(suite: Suite, python: Path, sources: Path, library: str) -> set[str]:
    """The tests of a suite that do not pass with ``library``: ``celery`` or ``canvas``."""
    report = sources.with_name(f"{library}.xml")
    way = ["-m", "canvas.as_celery"] if library == "canvas" else []
    # canvas' plug-in of pytest would give Celery's fixtures in a run with Celery, too.
    without = [] if library == "canvas" else ["-p", "no:canvas"]
    command = [python, *way, "-m", "pytest", "-q", "--timeout", "60", f"--junitxml={report}", *without, *suite.words]
    env = {name: value for name, value in os.environ.items() if name != "CANVAS_AS_CELERY"}
    done = subprocess.run(command, cwd=sources, env=env, capture_output=True, text=True, timeout=600)
    assert report.exists(), done.stdout + done.stderr
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    assert cases, done.stdout + done.stderr
    return {
        f"{case.get('classname')}::{case.get('name')}" for case in cases if {"failure", "error"} & {e.tag for e in case}
    }
