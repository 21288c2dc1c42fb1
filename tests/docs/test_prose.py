"""The pages, the changelog and the help texts name the actor and the thing: words that stand in for both are refused."""

import re

import pytest

from tests.architecture.structure import ROOT
from tests.architecture.test_prose import REFUSED
from tests.docs.test_pages import PAGES

ALSO_REFUSED = {
    "stock workers": re.compile(r"\b[Ss]tock (Celery|workers)"),
    "a setting that is": re.compile(r"\| (\w+( results)?: |With [^|]*: )?[Ii]s (a|the) "),
    "mend": re.compile(r"\b[Mm]end\b"),
    "beside Celery": re.compile(r"\b[Bb]eside Celery's"),
    "a setting that says": re.compile(r"`( \(\d+\))? says?\b"),
    "says so": re.compile(r"\bsays? so\b"),
    "a page or a log that says why": re.compile(
        r"\b(page|log|table|warning|setting|pattern|\)) says (how|where|which|why|when)\b"
    ),
}


@pytest.mark.parametrize("kind", [*REFUSED, *ALSO_REFUSED])
def test_no_page_has_it(kind):
    wrong = {**REFUSED, **ALSO_REFUSED}[kind]
    found = []
    for page in [*PAGES, ROOT.parent / "README.md", ROOT.parent / "CHANGELOG.md"]:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        found += [f"{page.name}: {text[max(0, one.start() - 30) : one.end() + 30]!r}" for one in wrong.finditer(text)]
    assert found == []


def test_each_changelog_entry_is_one_line():
    text = (ROOT.parent / "CHANGELOG.md").read_text().split("## Unreleased")[1]
    sections = [block.strip() for block in text.splitlines() if block.strip()]
    entries = [line for line in sections if not line.startswith(("#", "No version"))]
    assert entries
    assert [line for line in entries if not line.startswith("- ")] == [], "continues the entry above it"
    assert [line for line in entries if len(line) > 130] == []
