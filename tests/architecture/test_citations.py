"""What the code cites of ``docs/internals/`` is there: sections of the wire reference, rules of the specification."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
INTERNALS = ROOT / "docs" / "internals"
CITED = re.compile(r"\b(protocol|semantics)\.md ((?:[§A-Z]\d+(?:\.\d+)?(?:[–,]\s*|\s*))+)")
RANGE = re.compile(r"([A-Z])(\d+)–[A-Z]?(\d+)")


def cited():
    """Each file, the page it cites, and the sections and rules it names."""
    for path in sorted(
        [*(ROOT / "canvas").rglob("*.py"), *(ROOT / "canvas").rglob("*.lua"), *(ROOT / "docs").rglob("*.md")]
    ):
        if path.parent == INTERNALS:
            continue
        for page, names in CITED.findall(path.read_text()):
            for letter, first, last in RANGE.findall(names):
                yield from ((path, page, f"{letter}{number}") for number in range(int(first), int(last) + 1))
            yield from ((path, page, name) for name in re.findall(r"§\d+(?:\.\d+)?|[A-Z]\d+", names))


def stated(page):
    """The sections, and the rules, that a page has."""
    text = (INTERNALS / f"{page}.md").read_text()
    sections = {f"§{number}" for number in re.findall(r"^#+ (\d+(?:\.\d+)?)", text, re.MULTILINE)}
    return sections | set(re.findall(r"^\| ([A-Z]\d+) \|", text, re.MULTILINE))


def test_sections_and_rules_that_are_cited_exist():
    pages = {page: stated(page) for page in ("protocol", "semantics")}
    found = list(cited())
    assert len(found) > 100
    assert [
        f"{path.relative_to(ROOT)}: {page}.md {name}" for path, page, name in found if name not in pages[page]
    ] == []


def test_a_rule_is_cited_with_its_page():
    bare = re.compile(r"\([A-Z]\d+(?:[,–] ?[A-Z]\d+)*\)")
    files = (ROOT / "canvas").rglob("*.py")
    assert [path.name for path in files if bare.search(path.read_text())] == []


def test_no_page_is_cited_that_is_elsewhere():
    names = ("DESIGN" + ".md", "HOUSE" + ".md", "STYLE" + ".md", "PROTOCOL" + ".md", "SEMANTICS" + ".md")
    files = [*(ROOT / "canvas").rglob("*.py"), *(ROOT / "canvas").rglob("*.lua"), *(ROOT / "docs").rglob("*.md")]
    assert [path for path in files if any(name in path.read_text() for name in names)] == []


def test_files_that_the_architecture_names_exist():
    text = (INTERNALS / "architecture.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-zA-Z_0-9]+\.(?:py|lua|md))", text))
    assert len(named) > 40
    places = [ROOT, ROOT / "canvas", ROOT / "canvas/drivers/redis"]
    assert {name for name in named if not any((place / name).exists() for place in places)} == set()


def test_decisions_have_numbers_of_their_own():
    numbers = [path.name[:4] for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
