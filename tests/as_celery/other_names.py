"""The names of Celery's modules beyond the public ones, and where canvas has each.

``python -m tests.as_celery.other_names`` writes ``canvas/celery_names/names/others.json``. Programs import such names,
although no ``__all__`` has them: what a module has imported itself, its constants, and its inside.
"""

import ast
import importlib
import importlib.util
import json
import logging
import types
from pathlib import Path

import canvas.celery_names.names
from canvas.celery_names.importer import serves, stand_ins
from tests.as_celery import table

FILE = Path(canvas.celery_names.names.__file__).with_name("others.json")
LIBRARIES = ("kombu", "billiard", "vine", "amqp", "redis", "click", "dateutil", "click_didyoumean", "click_repl")
LONGEST_TEXT = 40


def statements(body):
    """The statements of a module that define names in it; not those for type checkers."""
    for one in body:
        if isinstance(one, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(one.test):
                yield from statements([*one.body, *one.orelse])
        elif isinstance(one, ast.Try):
            handlers = [line for handler in one.handlers for line in handler.body]
            yield from statements([*one.body, *one.orelse, *one.finalbody, *handlers])
        else:
            yield one


def origins(module, tree, package):
    """For each name of a module: the module that it was imported from, and its name there; ``None`` for its own."""
    found = {}
    for one in statements(tree.body):
        match one:
            case ast.ImportFrom(module=there, names=names, level=level):
                base = importlib.util.resolve_name("." * level + (there or ""), package) if level else there
                found.update({a.asname or a.name: (base, a.name) for a in names if a.name != "*"})
            case ast.Import(names=names):
                for a in names:
                    found[a.asname or a.name.partition(".")[0]] = (a.name if a.asname else a.name.partition(".")[0], "")
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = None
            case ast.Assign(targets=targets):
                found.update({t.id: None for target in targets for t in ast.walk(target) if isinstance(t, ast.Name)})
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                found[name] = None
    return {name: place for name, place in found.items() if not name.startswith("__")}


def entry(module, name, place):
    """How canvas has a name: as ``(kind, value)``."""
    value = getattr(importlib.import_module(module), name)
    if place is not None:
        there, attribute = place
        if isinstance(value, types.ModuleType) and attribute:
            there, attribute = value.__name__, ""
        return ("from", f"{there}:{attribute}") if _is_there(there) else None
    origin = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if origin != (module, name) and origin[0] in table.modules() and serves(*origin):
        return "from", ":".join(origin)  # a second name of one object
    if isinstance(value, logging.Logger):
        return "logger", value.name
    if type(value) is int and value == id(None):  # another number in each process
        return "stand-in", name
    if value is None or isinstance(value, int | float) or (isinstance(value, str) and len(value) <= LONGEST_TEXT):
        return "value", value
    return "stand-in", name


def _short(name, attribute):
    return name if name == attribute else f"{name}={attribute or '.'}"


def _is_there(module):
    top = module.partition(".")[0]
    return top == "celery" or top in LIBRARIES or importlib.util.find_spec(top) is not None


def attributes(module, names):
    """By name of an object of a module: its attributes, for the objects that have any."""
    loaded = importlib.import_module(module)
    found = {name: _attributes(getattr(loaded, name)) for name in names if hasattr(loaded, name)}
    return {name: words for name, words in found.items() if words}


def _attributes(value):
    kind = value if isinstance(value, type) else type(value)
    own = kind.__module__.startswith("celery.")
    return " ".join(name for name in dir(value) if own and not name.startswith("__"))


def others():
    """By module, and by kind of entry: its names."""
    found = {}
    for module in table.modules():
        try:
            loaded = importlib.import_module(module)
        except ImportError:  # its library is not installed
            continue
        path = Path(loaded.__file__)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        kinds = {"from": {}, "logger": {}, "value": {}, "stand-in": "", "attributes": {}}
        for name, place in sorted(origins(module, ast.parse(path.read_text()), package).items()):
            if not hasattr(loaded, name) or serves(module, name):
                continue
            kind, what = entry(module, name, place) or ("", None)
            if kind == "from":
                there, _, attribute = what.partition(":")
                words = kinds["from"].get(there, "")
                kinds["from"][there] = f"{words} {_short(name, attribute)}".strip()
            elif kind == "stand-in":
                kinds["stand-in"] = f"{kinds['stand-in']} {name}".strip()
            elif kind:
                kinds[kind][name] = what
        kinds["attributes"] = attributes(module, sorted({*stand_ins(module), *kinds["stand-in"].split()}))
        if any(kinds.values()):
            found[module] = {kind: names for kind, names in kinds.items() if names}
    return found


def text():
    """The text of the file."""
    return json.dumps(others(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
