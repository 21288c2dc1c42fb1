"""Functions, classes and methods that canvas serves take the arguments that Celery's take, by name and by position."""

import importlib
import inspect
import types

from canvas.celery_names.importer import _member
from canvas.celery_names.names import ALIASES, MEMBERS
from canvas.celery_names.stand_ins import StandIn

MODULES = [
    "celery", "celery.app.control", "celery.app.task", "celery.canvas", "celery.events", "celery.events.state", "celery.exceptions", "celery.result",
    "celery.schedules", "celery.states", "celery.utils", "celery.utils.dispatch", "celery.utils.functional",
    "celery.utils.imports", "celery.utils.log", "celery.utils.nodenames", "celery.utils.serialization",
    "celery.utils.collections", "celery.utils.text", "celery.utils.threads", "celery.utils.time", "celery.worker.control",
]  # fmt: skip
OTHERWISE = {
    "Celery.broker_connection": "a URL says the rest",
    "Celery.connection": "a URL says the rest",
    "Celery.connection_or_acquire": "it needs no pool",
    "Celery.default_connection": "it needs no pool",
    "Celery.subclass_with_self": "pickling needs no such arguments",
    "Signature.apply_async": "route_name is read by nothing in Celery",
    "Context()": "it is made of a message",
    "Context.get": "the name of the first parameter",
    "chain.clone": "Celery's takes more arguments than it uses",
    "chord.clone": "Celery's takes more arguments than it uses",
    "Retry()": "further arguments are read by nothing in Celery",
    "maybe_patch_concurrency": "nothing is patched",
    "AsyncResult.build_graph": "graphs are networkx's",
    "EagerResult.build_graph": "graphs are networkx's",
    "ResultSet()": "ready_barrier belongs to Celery's promises",
    "ChainMap()": "Celery's takes names that it does not use",
    "EventDispatcher.publish": "Celery's names of further arguments are given",
    "EventReceiver.event_from_message": "Celery's own functions as defaults",
    "Task.event": "Celery's own functions as defaults",
    "heartbeat_expires": "Celery's own functions as defaults",
    "gen_unique_id": "the parameter is Celery's own",
    "uuid": "the parameter is Celery's own",
    "Panel()": "it has no objects",
    "Panel.register": "a decorator with the arguments that Celery documents",
}
"""What takes less, and why."""
METHODS = (types.FunctionType, classmethod, staticmethod)
BY_NAME, BY_PLACE = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY), (
    inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD,
)  # fmt: skip


def parameters(one):
    try:
        return [one for one in inspect.signature(one).parameters.values() if one.name != "self"]
    except Exception:  # noqa: BLE001 - proxies without an app, classes of C
        return None


def not_taken(theirs, ours):
    """The arguments of Celery's that canvas' does not take."""
    kinds = {one.kind for one in ours}
    named = {one.name for one in ours if one.kind in BY_NAME}
    places = [one.name for one in ours if one.kind in BY_PLACE]
    found = []
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        found += [one.name for one in theirs if one.kind in BY_NAME and one.name not in named]
        found += [f"**{one.name}" for one in theirs if one.kind == inspect.Parameter.VAR_KEYWORD]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        found += [one.name for one in [one for one in theirs if one.kind in BY_PLACE][len(places) :]]
        found += [f"*{one.name}" for one in theirs if one.kind == inspect.Parameter.VAR_POSITIONAL]
    wanted = [one.name for one in theirs if one.kind in BY_PLACE]
    return found + [name for name, ours in zip(wanted, places, strict=False) if name != ours and name in named]


def compared(label, theirs, ours):
    """By label, what canvas' objects of this name do not take."""
    pairs = {label: (theirs, ours)}
    if inspect.isclass(theirs) and inspect.isclass(ours):
        pairs = {f"{label}()": (theirs, ours)}
        # A property of Celery's may bind the class to an app.
        names = [
            name for name in dir(theirs)
            if not name.startswith("_") and isinstance(inspect.getattr_static(theirs, name), METHODS) and hasattr(ours, name)
        ]  # fmt: skip
        pairs |= {f"{label}.{name}": (getattr(theirs, name), getattr(ours, name)) for name in names}
    found = {}
    for name, (one, other) in pairs.items():
        first, second = parameters(one), parameters(other)
        if first is not None and second is not None and not (inspect.isclass(one) and name != f"{label}()"):
            found[name] = not_taken(first, second)
    return {name: wrong for name, wrong in found.items() if wrong}


def test_what_celerys_take_canvas_takes():
    wrong = {}
    for module in MODULES:
        real = importlib.import_module(module)
        for name in getattr(real, "__all__", None) or MEMBERS.get(module, ()):
            own = _served(module, name)
            if own is not None and not isinstance(own, StandIn) and callable(own):
                wrong |= compared(name, getattr(real, name, None), own)
    assert {name: missing for name, missing in wrong.items() if name not in OTHERWISE} == {}
    assert set(OTHERWISE) - set(wrong) == set(), "take these off OTHERWISE"


def _served(module, name):
    if module in ALIASES:
        return getattr(importlib.import_module(ALIASES[module]), name, None)
    try:
        return _member(module, name)
    except AttributeError:
        return None
