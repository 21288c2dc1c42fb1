"""Rewrite Celery's tests so that they import canvas.

A name that canvas has is imported from canvas; a name that canvas lacks stays an import of the installed Celery, so
that a test which only borrows a function of Celery still runs.
"""

import ast
import importlib
from pathlib import Path

MODULES = {
    "celery": "canvas",
    "celery.canvas": "tests.conformance.composing",
    "celery.result": "canvas.result",
    "celery.states": "canvas.model.states",
    "celery.app.task": "tests.conformance.tasks",
    "celery.exceptions": "canvas.exceptions",
    "celery.schedules": "canvas.schedules",
    "celery.signals": "canvas.signals",
    "celery.utils.log": "canvas.log",
    "celery.contrib.pytest": "tests.conformance.canvas_client",
    "kombu.exceptions": "canvas.errors",
    "celery.utils.nodenames": "tests.conformance.nodenames",
    "celery.contrib.testing.manager": "tests.conformance.canvas_client",
}
"""Where canvas has the names of a module of Celery."""
NAMES = {"Celery": "Canvas"}
"""Names that canvas spells otherwise."""
ALIASES = {"celery": "canvas"}
"""Modules that are imported whole."""


def _clause(name: str, alias: str | None) -> str:
    return name if alias is None or alias == name else f"{name} as {alias}"


def _from(node: ast.ImportFrom, modules: dict[str, str]) -> str:
    """The statements that import the names of ``node``, each from the library that has it."""
    target = modules.get(node.module or "")
    if target is None or node.level:
        return ast.unparse(node)
    module = importlib.import_module(target)
    ours, theirs = [], []
    for alias in node.names:
        name = NAMES.get(alias.name, alias.name)
        if hasattr(module, name):
            ours.append(_clause(name, alias.asname or alias.name))
        else:
            theirs.append(_clause(alias.name, alias.asname))
    found = [f"from {target} import {', '.join(ours)}"] if ours else []
    if theirs:
        found.append(f"from {node.module} import {', '.join(theirs)}")
    return "; ".join(found)


def _import(node: ast.Import, modules: dict[str, str]) -> str:
    clauses = []
    for alias in node.names:
        whole = ALIASES.get(alias.name) if "celery" in modules else None
        clauses.append(_clause(whole, alias.asname or alias.name) if whole else _clause(alias.name, alias.asname))
    return f"import {', '.join(clauses)}"


def rewrite(source: str, modules: dict[str, str]) -> str:
    """``source`` with its imports of ``modules`` replaced; the number of its lines stays."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            text = _from(node, modules)
        elif isinstance(node, ast.Import):
            text = _import(node, modules)
        else:
            continue
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        lines[first:last] = [" " * node.col_offset + text] + [""] * (last - first - 1)
    return "\n".join(lines) + "\n"


def copy_tree(source: Path, target: Path, modules: dict[str, str]) -> None:
    """Copy the Python files below ``source`` to ``target``, rewritten."""
    for path in source.rglob("*.py"):
        copied = target / path.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_text(rewrite(path.read_text(), modules))
