"""Hooks of mkdocs: the order of the pages, and links to files that the site does not have."""

import re
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parent.parent.parent
SOURCE = "https://github.com/canvas-workflows/canvas/blob/main"
ORDER: dict[str, tuple[str, ...]] = {
    "tutorial": ("first-task", "chains-groups-chords", "any-graph", "failures", "production", "approval", "crawl"),
    "how-to": ("index", "migrate-from-celery", "django", "fastapi", "flask", "test", "docker", "systemd", "kubernetes"),
    "reference": ("api", "cheat-sheet", "calls", "tasks", "worker", "settings", "cli", "states", "signals", "errors"),
    "explanation": ("guarantees", "life-of-a-task", "workflows", "compared", "differences"),
    "examples": (),
    "internals": ("contributing", "architecture", "glossary"),
    "decisions": (),
}
LATER_IN_SEARCH = ("internals/", "decisions/")
"""Folders for people who change canvas: in the search their pages come after those for its users."""
TITLES = {"how-to": "How-to guides"}
FIRST = [{"Home": "index.md"}]
LAST = ["troubleshooting.md", "faq.md"]
WORKERS_OUTPUT = re.compile(r"^```text worker$", re.MULTILINE)
"""The first line of a block of which the tests know that a worker prints it."""
OUTSIDE = re.compile(
    r"\]\(((?:\.\./)*(?:(?:benchmarks|canvas|tests|README\.md|CHANGELOG\.md|LICENSE)[^)#]*|[\w/-]+\.py))(#[^)]*)?\)"
)
"""A link to a file of the repository that the site does not have."""
LINK = re.compile(r'<(?:a|link|img|script|source)\b[^>]*?\b(?:href|src)="([^"]*)"')
ELSEWHERE = re.compile(r"[a-z]+:|/")


def ordered(docs: Path, section: str) -> list[str]:
    """The pages of a folder: those that ``ORDER`` names, then the others by name."""
    names = [path.stem for path in sorted((docs / section).glob("*.md"))]
    first = [name for name in ORDER[section] if name in names]
    return [f"{section}/{name}.md" for name in [*first, *(name for name in names if name not in first)]]


def on_config(config: Any) -> Any:
    """Give the site its navigation."""
    docs = Path(config.docs_dir)
    sections: list[Any] = [
        {TITLES.get(name, name.capitalize()): pages} for name in ORDER if (pages := ordered(docs, name))
    ]
    config.nav = [*FIRST, *sections[:4], *(page for page in LAST if (docs / page).exists()), *sections[4:]]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to files that the site does not have lead to the repository, and rank the page in the search."""
    if page.file.src_uri.startswith(LATER_IN_SEARCH):
        page.meta["search"] = {"boost": 0.01}
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def moved(found: re.Match[str]) -> str:
        path = (folder / found[1]).resolve().relative_to(ROOT.resolve())
        return f"]({SOURCE}/{path}{found[2] or ''})"

    return WORKERS_OUTPUT.sub('```text title="The worker prints"', OUTSIDE.sub(moved, markdown))


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Raises PluginError for a page that shows the marks of a block: that block was not taken for one."""
    if "```" in html:
        shown = re.sub("<[^>]+>", "", html).partition("```")[2]
        raise PluginError(f"{page.file.src_uri}: a block is not rendered as one: ```{shown:.60}")


def on_post_build(config: Any) -> None:
    """Raises PluginError for a link within the site that leads to no file, or to no place in one. mkdocs checks links
    between Markdown pages only."""
    site = Path(config.site_dir).resolve()
    lost = [
        f"{page.relative_to(site)}: {link}"
        for page in sorted(site.rglob("*.html"))
        for link in dict.fromkeys(map(unescape, LINK.findall(page.read_text())))
        if not ELSEWHERE.match(link) and not _leads(page, link)
    ]
    if lost:
        raise PluginError(f"links that lead nowhere: {'; '.join(lost[:20])}")


def _leads(page: Path, link: str) -> bool:
    address, _, place = link.partition("#")
    path = address.partition("?")[0]
    target = (page.parent / unquote(path)).resolve() if path else page
    target = target / "index.html" if target.is_dir() else target
    return target.exists() and (not place or target.suffix != ".html" or unquote(place) in _places(target))


@cache
def _places(page: Path) -> frozenset[str]:
    return frozenset(re.findall(r'\b(?:id|name)="([^"]+)"', page.read_text()))
