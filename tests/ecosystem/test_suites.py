"""The test suites of plug-ins, unchanged: what passes with Celery passes on canvas, except for what ``known.toml`` lists."""

import os
import subprocess

import pytest

from tests.ecosystem.suites import KNOWN, SUITES, WITHOUT_SUITE, failed, install, unpacked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return install(tmp_path_factory.mktemp("suites") / "env")


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.package)
def test_a_suite(suite, python, tmp_path):
    sources = unpacked(suite, python, tmp_path)
    found = failed(suite, python, sources, "canvas") - failed(suite, python, sources, "celery")
    known = KNOWN.get(suite.package, {})
    assert found - set(known) == set(), "these pass with Celery"
    assert set(known) - found == set(), "take these off known.toml"


IMPORTS = """
import importlib, pkgutil, sys
import celery
package = importlib.import_module(sys.argv[1])
for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not found.name.endswith("__main__"):
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as exc:  # of an extra of the package
            if exc.name.partition(".")[0] in ("celery", "kombu"):
                raise
print(celery.Celery.__module__)
"""


@pytest.mark.parametrize("package", WITHOUT_SUITE)
def test_a_package_without_a_suite_finds_the_names_that_it_imports(package, python):
    command = [python, "-m", "canvas.as_celery", "-c", IMPORTS, WITHOUT_SUITE[package][0]]
    env = {name: value for name, value in os.environ.items() if name != "CANVAS_AS_CELERY"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == "canvas.app.application\n", done.stderr
