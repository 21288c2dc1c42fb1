"""Examples in docstrings run, and each parameter of what the reference of the API lists is described."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import itertools
import re
import textwrap
from functools import cache

import pytest

from canvas.app import application
from canvas.context import Proxy
from canvas.model.call_options import OPTIONS
from canvas.primitives import chord, group, mapping
from canvas.workflows.compose import builder
from tests.architecture.structure import ROOT
from tests.docs.test_pages import DOCS

PAGE = (DOCS / "reference" / "api.md").read_text()
ENTRY = re.compile(r"^::: (\S+)\n((?:    .*\n)*)", re.MULTILINE)
SHARED = set(
    re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in re.findall(r"^\| `.*$", PAGE, re.MULTILINE)))
)
REFERRED = re.compile(r"``(?:\w+\.)*(\w+)``")
HIDDEN = re.compile("|".join(re.findall(r'"!([^"]+)"', (ROOT.parent / ".mkdocs.yml").read_text())))
PLACES = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@pytest.mark.parametrize("module", [application, builder, group, chord, mapping], ids=lambda module: module.__name__)
def test_examples_run(module):
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 2
    assert found.failed == 0


def named(path):
    """The object that an entry of the page names."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(path)


def functions(cls, listed):
    """The public functions of a class that canvas defines; those that the entry lists, if it lists any."""
    for name in listed or [*(name for name in dir(cls) if not HIDDEN.search(name)), "__init__", "__call__"]:
        raw = inspect.getattr_static(cls, name)
        function = getattr(raw, "__func__", None) or getattr(raw, "fget", None) or raw
        if inspect.isfunction(function) and function.__module__.startswith("canvas"):
            yield name, function


@cache
def entries():
    """Each function of the page: its name there, itself, and the class that has it."""
    found = {}
    for path, options in ENTRY.findall(PAGE):
        value = named(path)
        if inspect.isclass(value):
            for name, function in functions(value, re.findall(r"^        - (\w+)$", options, re.MULTILINE)):
                found.setdefault(function, (f"{path}.{name}", value))
        elif callable(value) and not isinstance(value, Proxy):
            found.setdefault(value, (path, None))
    return [(name, function, owner) for function, (name, owner) in found.items()]


def fields(cls):
    """The fields of a dataclass that a text below them describes."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(getattr(text, "value", None), ast.Constant):
            yield field.target.id


def description(function, owner):
    """The text that describes a function's parameters: its own, its class' for a constructor, and that of the function
    which its first sentence refers to."""
    text = inspect.getdoc(function) or ""
    if dataclasses.is_dataclass(owner) and function.__name__ == "__init__":
        return " ".join(fields(owner))
    if owner is not None and function.__name__ in ("__init__", "__call__"):
        text += "".join(base.__doc__ or "" for base in owner.__mro__ if base.__module__.startswith("canvas"))
    for name in REFERRED.findall(text.split("\n\n")[0]):
        other = getattr(owner, name, None)
        if inspect.isfunction(other) and other is not function:
            text += other.__doc__ or ""
    return text


def undescribed(function, owner):
    parameters = [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.kind not in PLACES and not one.name.startswith("_") and one.name not in ("self", "cls")
    ]
    known = set(re.findall(r"\w+", description(function, owner))) | SHARED | {option.name for option in OPTIONS}
    return [name for name in parameters if name not in known]


def test_each_parameter_is_described():
    assert len(entries()) > 250
    gaps = {name: left for name, function, owner in entries() if (left := undescribed(function, owner))}
    assert gaps == {}


def test_each_function_is_described():
    assert [name for name, function, owner in entries() if not description(function, owner)] == []


def test_the_page_has_what_its_classes_inherit():
    shown, wanted = set(), set()
    for path, options in ENTRY.findall(PAGE):
        kind = named(path)
        if inspect.isclass(kind):
            bases = {base for base in kind.__mro__ if base.__module__.startswith("canvas") and base.__name__[0] != "_"}
            wanted |= {
                base for base in bases if any(not HIDDEN.search(n) and callable(v) for n, v in vars(base).items())
            }
            shown |= bases if "inherited_members: true" in options else {kind}
    assert {kind.__qualname__ for kind in wanted - shown} == set()


def test_no_parameter_is_described_for_all_that_few_have():
    names = [name for _, function, _ in entries() for name in inspect.signature(function).parameters]
    assert [name for name in SHARED if names.count(name) < 2] == []
