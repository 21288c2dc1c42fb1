"""Imports go down only; each library has the one room that may use it."""

import ast
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent.parent / "canvas"
LAYERS = [
    {"model", "errors", "forks", "telemetry", "version"},
    {"graph", "wire", "routing", "settings"},
    {"drivers"},
    {
        "annotations", "app", "backend", "backoff", "call_check", "builtins", "client", "config", "control", "django", "eager", "effects", "errback", "events", "exceptions", "execute", "interruptible", "json_log", "log", "option_names", "otel",
        "received", "replacement", "registry", "report", "result", "runs", "send", "setting_kinds", "signals",
        "purge", "shared", "task", "turns", "unbound", "unused", "validation", "workflows", "__init__",
    },
    {"worker", "embedded"},
    {"testing", "demo"},
    {"cli", "__main__"},
]  # fmt: skip
ONLY_IN = {
    "networkx": {"graph"},
    "redis": {"drivers"},
    "msgspec": {"wire", "drivers"},
    "msgpack": {"wire", "drivers"},
    "click": {"cli"},
    "rich": {"cli"},
    "pydantic": {"validation"},
    "prometheus_client": {"worker"},
    "opentelemetry": {"otel"},
    "django": {"django"},
    "celery": set(),
    "kombu": set(),
}


def modules():
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts)] = path
    return found


MODULES = modules()


def imports(path):
    """Every module a file imports, inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((name, node.lineno) for name in named)
            if not all(name in MODULES for name in named):
                yield node.module, node.lineno


def type_only(path):
    """Lines of imports that only type checkers see."""
    lines = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            lines |= {inner.lineno for inner in ast.walk(node) if hasattr(inner, "lineno")}
    return lines


def room(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def layer(name):
    found = [number for number, rooms in enumerate(LAYERS) if room(name) in rooms]
    assert found, f"{name} is in no layer: give its room one"
    return found[0]


def internal_imports():
    known = MODULES
    for name, path in known.items():
        skipped = type_only(path)
        for target, line in imports(path):
            if not target or not target.startswith("canvas"):
                continue
            real = target if target in known else f"{target}.__init__" if f"{target}.__init__" in known else None
            if real is not None and line not in skipped:
                yield name, real, line


def test_every_room_has_a_layer():
    assert {room(name) for name in modules()} == set().union(*LAYERS)


def test_imports_go_down_only():
    upward = [f"{a}:{line} imports {b}" for a, b, line in internal_imports() if layer(b) > layer(a)]
    assert upward == []


def test_graph_and_wire_do_not_know_each_other():
    pairs = {(room(a), room(b)) for a, b, _ in internal_imports()}
    assert not pairs & {("graph", "wire"), ("wire", "graph")}


def test_drivers_know_only_words_and_wire():
    allowed = {"model", "errors", "forks", "telemetry", "wire", "drivers"}
    assert {room(b) for a, b, _ in internal_imports() if room(a) == "drivers"} <= allowed


def test_there_is_no_cycle():
    graph = nx.DiGraph((a, b) for a, b, _ in internal_imports() if not b.endswith("canvas.__init__"))
    cycles = [cycle for cycle in nx.simple_cycles(graph) if len(cycle) > 1]
    assert cycles == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_used_in_its_room_only(library):
    users = {room(n) for n, p in modules().items() for t, _ in imports(p) if t and t.split(".")[0] == library}
    assert users <= ONLY_IN[library]


def test_redis_itself_is_used_where_connections_are():
    users = {n for n, p in modules().items() for t, _ in imports(p) if t and t.split(".")[0] == "redis"}
    assert users == {"canvas.drivers.redis.calls", "canvas.drivers.redis.link"}
