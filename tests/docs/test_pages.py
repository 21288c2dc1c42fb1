"""Links between pages lead to a page and to a heading of it; every page can be reached."""

import re
from functools import cache
from pathlib import Path

import pytest

from docs.generate.hooks import OUTSIDE

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINKED = [*PAGES, DOCS.parent / "README.md", DOCS.parent / "CHANGELOG.md"]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@cache
def anchors(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    return {
        re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in HEADING.findall(text)
    }


def links(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    return LINK.findall(text)


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_links_lead_to_a_page_and_a_heading(page):
    for target, anchor in links(page):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{target}#{anchor}"


def test_links_lead_to_files_that_the_site_has():
    wrong = [
        (page.name, target)
        for page in PAGES
        for target, _ in links(page)
        if target and Path(target).suffix not in (".md", ".png", ".svg") and not OUTSIDE.match(f"]({target})")
    ]
    assert wrong == []


def test_links_to_files_of_the_repository_name_files_that_exist():
    named = re.compile(r"github\.com/canvas-workflows/canvas/(?:blob|tree)/main/([^)#\s`]+)")
    found = [(page, path) for page in PAGES for path in named.findall(page.read_text())]
    assert found
    assert [(page.name, path) for page, path in found if not (DOCS.parent / path).exists()] == []


def test_no_page_installs_from_an_index_that_has_no_canvas():
    wrong = re.compile(r"pip install [^\n]*['\" ]canvas-workflows")
    assert [page.name for page in [*PAGES, *DOCS.rglob("Dockerfile")] if wrong.search(page.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_begins_with_a_sentence_on_what_is_in_it(page):
    text = re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.DOTALL)
    title, first, *_ = [block for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
    assert title.startswith("# ")
    assert re.match(r"[A-Z`*\[]|canvas\b", first) and not first.startswith("```"), first
    assert len(first.split()) >= 8, first


def test_each_page_has_one_title():
    wrong = [
        page
        for page in PAGES
        if len(re.findall(r"^# ", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)) != 1
    ]
    assert wrong == []
