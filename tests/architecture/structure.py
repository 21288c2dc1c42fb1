"""What the code says of its own structure: modules, imports, functions, private names; each file is parsed once."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import networkx as nx

ROOT = Path(__file__).parent.parent.parent / "canvas"


class Import(NamedTuple):
    """One import of a module of canvas by another."""

    user: str
    target: str
    line: int
    type_only: bool


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts)] = path
    return found


MODULES = _modules()


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text())


@cache
def imports(name: str) -> tuple[tuple[str, int], ...]:
    """Every module that a file imports, inside functions and under TYPE_CHECKING too."""
    found = []
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(target, node.lineno) for target in named]
            if not all(target in MODULES for target in named):
                found.append((node.module, node.lineno))
    return tuple(found)


@cache
def type_only(name: str) -> frozenset[int]:
    """Lines of imports that only type checkers execute."""
    lines: set[int] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            lines |= {inner.lineno for inner in ast.walk(node) if isinstance(inner, ast.stmt)}
    return frozenset(lines)


def room(name: str) -> str:
    """The folder, or the file at the top, that a module belongs to."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@cache
def internal() -> tuple[Import, ...]:
    """Every import of a module of canvas by another, type-only ones too."""
    found = []
    for name in MODULES:
        for target, line in imports(name):
            if not target.startswith("canvas"):
                continue
            real = target if target in MODULES else f"{target}.__init__"
            if real in MODULES:
                found.append(Import(name, real, line, line in type_only(name)))
    return tuple(found)


def circles(with_types: bool) -> list[list[str]]:
    """Sets of modules that import each other, directly or not; the largest first."""
    edges = (
        (one.user, one.target)
        for one in internal()
        if (with_types or not one.type_only) and one.target != "canvas.__init__" and one.user != one.target
    )
    components = nx.strongly_connected_components(nx.DiGraph(edges))
    return sorted((sorted(members) for members in components if len(members) > 1), key=lambda c: (-len(c), c))


def circles_of_folders() -> list[list[str]]:
    """Sets of folders inside one folder whose files import each other, directly or not, type-only imports included.

    The files of the folder itself are no part of it: they put its parts together.
    """
    edges = []
    for one in internal():
        user, target = one.user.split(".")[:-1], one.target.split(".")[:-1]
        common = next((n for n, pair in enumerate(zip(user, target, strict=False)) if pair[0] != pair[1]), None)
        if common is not None:
            edges.append((".".join(user[: common + 1]), ".".join(target[: common + 1])))
    return [sorted(members) for members in nx.strongly_connected_components(nx.DiGraph(edges)) if len(members) > 1]


def functions(name: str) -> Iterator[tuple[str, int]]:
    """The functions and methods of a file, and how many lines each has without its docstring."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                first = node.body[0]
                assert first.end_lineno is not None
                lines -= first.end_lineno - first.lineno + 1
            yield node.name, lines


@cache
def _defined(name: str) -> frozenset[str]:
    """Private names that a file defines: functions, classes, attributes, variables, parameters."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # an entry of __slots__
    return frozenset(found)


_FOREIGN = {"_replace", "_asdict", "_exit", "_sock"}
"""Names of Python's library that files of canvas define too."""


@cache
def _defined_anywhere() -> frozenset[str]:
    return frozenset().union(*(_defined(name) for name in MODULES)) - _FOREIGN


def foreign_private_names(name: str) -> list[str]:
    """Uses of private names that another file of canvas defines, as ``line: name``; not what a class has of its base."""
    theirs, used = _defined_anywhere() - _defined(name), []
    for node in ast.walk(tree(name)):
        own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if isinstance(node, ast.Attribute) and not own and _is_private(node.attr) and node.attr in theirs:
            used.append(f"{node.lineno}: {node.attr}")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("canvas"):
            used += [f"{node.lineno}: {alias.name}" for alias in node.names if _is_private(alias.name)]
    return used


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def any_apps(name: str) -> list[str]:
    """Parameters and attributes named ``app`` whose type is ``Any``, as ``line: function``."""
    found = []
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [argument for argument in arguments if argument.arg in ("app", "_app")]
            found += [f"{node.lineno}: {node.name}" for argument in named if _is_any(argument.annotation)]
        elif isinstance(node, ast.AnnAssign) and _target(node.target) in ("app", "_app") and _is_any(node.annotation):
            found.append(f"{node.lineno}: {_target(node.target)}")
    return found


def made(name: str, kind: str) -> list[int]:
    """The lines on which a file makes an object of a class of this name."""
    calls = [node for node in ast.walk(tree(name)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if kind in (getattr(call.func, "attr", ""), getattr(call.func, "id", ""))]


def spells_key(name: str, key: str) -> bool:
    """Whether a file writes a dict with this key."""
    keys = [one for node in ast.walk(tree(name)) if isinstance(node, ast.Dict) for one in node.keys]
    return any(isinstance(one, ast.Constant) and one.value == key for one in keys)


def _is_any(annotation: ast.expr | None) -> bool:
    return annotation is not None and "Any" in {getattr(node, "id", "") for node in ast.walk(annotation)}


def _target(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
