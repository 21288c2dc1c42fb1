"""Each line that a worker logs at WARNING or above has an entry in the page of troubleshooting."""

import ast
import re

import pytest

from tests.architecture.structure import tree
from tests.docs.test_pages import DOCS

PAGE = " ".join((DOCS / "troubleshooting.md").read_text().replace("`", "").split())
LOUD = {"warning", "error", "critical", "_raised"}


def lines(module):
    """The texts of a module's log lines."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if name in LOUD and texts:
                yield texts[0]


@pytest.mark.parametrize("module", ["canvas.worker.logs.lines"])
def test_each_line_has_an_entry(module):
    found = list(lines(module))
    assert len(found) > 25
    fixed = [next(part for part in re.split(r"%[.\d]*[a-z]", text) if len(part) > 8).strip(" .;:,(") for text in found]
    assert [text for text in fixed if text[:30] not in PAGE] == []
