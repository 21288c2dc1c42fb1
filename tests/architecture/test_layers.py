"""Imports go down only; each library has the one room that may use it."""

import pytest

from tests.architecture.structure import MODULES, circles, circles_of_folders, imports, internal, room

LAYERS = [
    {"caller_warnings", "error_traits", "errors", "forks", "interruptions", "masking", "telemetry", "text", "version"},
    {"model"},
    {"context"},
    {"primitives", "wire", "config", "exceptions", "log"},
    {"graph", "drivers", "schedules"},
    {"result"},
    {"task"},
    {"producer"},
    {"remote"},
    {"workflows"},
    {"execution"},
    {"signals"},
    {"integrations"},
    {"beat"},
    {"__init__", "app"},
    {"dashboard", "worker"},
    {"embedded", "testing"},
    {"celery_names"},
    {"as_celery"},
    {"cli"},
    {"__main__"},
]  # fmt: skip
ONLY_IN = {
    "networkx": {"graph"},
    "redis": {"drivers"},
    "msgspec": {"wire", "drivers"},
    "msgpack": {"wire", "drivers"},
    "click": {"cli"},
    "rich": {"cli"},
    "starlette": {"dashboard"},
    "uvicorn": {"cli"},
    "pydantic": {"task"},
    "prometheus_client": {"integrations"},
    "opentelemetry": {"integrations"},
    "sentry_sdk": {"integrations"},
    "django": {"integrations", "drivers"},
    "ephem": {"schedules"},
    "sqlalchemy": {"drivers"},
    "cryptography": {"celery_names"},
    "celery": set(),
    "kombu": set(),
}


def layer(name):
    found = [number for number, rooms in enumerate(LAYERS) if room(name) in rooms]
    assert found, f"{name} is in no layer: give its room one"
    return found[0]


def test_every_room_has_a_layer():
    assert {room(name) for name in MODULES} == set().union(*LAYERS)


def test_imports_go_down_only():
    upward = [
        f"{one.user}:{one.line} imports {one.target}" for one in internal() if layer(one.target) > layer(one.user)
    ]
    assert upward == []


def test_graph_and_wire_do_not_know_each_other():
    pairs = {(room(one.user), room(one.target)) for one in internal()}
    assert not pairs & {("graph", "wire"), ("wire", "graph")}


def test_drivers_know_only_words_and_wire():
    allowed = {"model", "errors", "forks", "interruptions", "masking", "telemetry", "text", "wire", "drivers"}
    assert {room(one.target) for one in internal() if room(one.user) == "drivers"} <= allowed


def test_no_folders_beside_each_other_import_each_other():
    """Neither rooms, of one layer or of several, nor the folders inside of a room."""
    assert circles_of_folders() == []


def test_there_is_no_cycle():
    assert circles(with_types=False) == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_used_in_its_room_only(library):
    users = {room(n) for n in MODULES for t, _ in imports(n) if t.split(".")[0] == library}
    assert users <= ONLY_IN[library]


def test_redis_itself_is_used_where_connections_are():
    users = {n for n in MODULES for t, _ in imports(n) if t.split(".")[0] == "redis"}
    folder = "canvas.drivers.redis.connection"
    assert users == {f"{folder}.redis_py", f"{folder}.redis_py_connections"}
