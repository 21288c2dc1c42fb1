"""Docstrings, comments and messages name the actor and the thing: words that stand in for both are refused."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache

import pytest

from tests.architecture.structure import MODULES, ROOT, room, tree

UNCHECKED: set[str] = set()
"""Rooms whose text is not checked yet. Rooms may only leave this set."""
UNCHECKED_FILES: set[str] = set()
REFUSED = {
    "whoever": re.compile(r"\b[Ww]hoever\b"),
    "nobody": re.compile(r"\b[Nn]obody('s)?\b"),
    "for ever": re.compile(r"\bfor ever\b"),
    "so many": re.compile(r"\bso (many|much|long|deep|often)\b(?! as\b)"),
    "a machine that tells": re.compile(r"\b(tells|told|hears|heard of)\b"),
    "a sentence that begins with What": re.compile(r"(^|[.:;] )What (?!\w+ (do|does|did)\b)[a-z`]"),
    "but for": re.compile(r"\bbut for (?!no\b)"),
    "what for a noun": re.compile(r"\bwhat (waits|runs|follows|comes|stands|goes|was|must)\b"),
    "held against": re.compile(r"\bheld against\b"),
    "a noun that is denied": re.compile(
        r"\b([Tt]hat|[Ww]hich) (is|are) (no|none)\b(?! (longer|more|other|one|wider)\b)"
    ),
    "that of for a noun": re.compile(r"\A(Those|That) (of|that|which|whose|in|on|among|due)\b"),
    "by itself": re.compile(r"\bby (itself|themselves)\b"),
}


@cache
def texts(name: str) -> list[tuple[int, str]]:
    """The docstrings of a file (also those below attributes), its messages and its comments, each with its line."""
    return list(_texts(name))


def _texts(name: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 1:
            yield node.lineno, node.value
        for statement in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value
    for token in tokenize.generate_tokens(io.StringIO(MODULES[name].read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


@pytest.mark.parametrize("kind", REFUSED)
def test_no_text_has_it(kind):
    checked = [name for name in MODULES if room(name) not in UNCHECKED and name not in UNCHECKED_FILES]
    found = [f"{name}:{line}" for name in checked for line, text in texts(name) if REFUSED[kind].search(text)]
    assert found == []


@cache
def comments_of_scripts() -> list[tuple[str, str]]:
    """The comments of the Lua scripts, each with its file and line."""
    return [
        (f"{path.name}:{number}", line.partition("--")[2])
        for path in sorted(ROOT.rglob("*.lua"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
    ]


@pytest.mark.parametrize("kind", REFUSED)
def test_no_comment_of_a_script_has_it(kind):
    assert [place for place, text in comments_of_scripts() if REFUSED[kind].search(text)] == []
