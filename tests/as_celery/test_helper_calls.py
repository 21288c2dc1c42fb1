"""Functions of ``celery.utils`` give what Celery's give, with each of their parameters."""

import importlib

import pytest

from canvas.celery_names.importer import _member
from canvas.celery_names.names import ALIASES
from tests.as_celery.calls_of_texts import TEXTS
from tests.as_celery.calls_of_values import VALUES

COMPARED = {**VALUES, **TEXTS}


def served(module, name):
    return getattr(importlib.import_module(ALIASES[module]), name) if module in ALIASES else _member(module, name)


def outcome(call, function):
    """What a call gives: its value as text, or the class of its exception."""
    try:
        return repr(call(function))
    except Exception as exc:  # noqa: BLE001 - the class is compared
        kinds = {kind.__name__ for kind in type(exc).__mro__}
        return f"raises {min(kinds & KINDS, key=len, default=type(exc).__name__)}"


KINDS = {"AttributeError", "KeyError", "TypeError", "ValueError", "ImportError", "AssertionError", "StopIteration"}


@pytest.mark.parametrize("path", COMPARED)
def test_calls_give_what_celerys_give(path):
    module, _, name = f"celery.utils.{path}".rpartition(".")
    theirs, ours = getattr(importlib.import_module(module), name), served(module, name)
    wrong = {
        number: (wanted, found)
        for number, call in enumerate(COMPARED[path])
        if (wanted := outcome(call, theirs)) != (found := outcome(call, ours))
    }
    assert wrong == {}
