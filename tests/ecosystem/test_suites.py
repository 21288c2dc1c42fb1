"""The test suites of plug-ins, unchanged: what passes with Celery passes on canvas, except for what ``known.toml`` lists."""

import pytest

from tests.ecosystem.suites import KNOWN, SUITES, failed, install, unpacked

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
