"""Functions, classes and methods that canvas serves take the arguments that Celery's take, by name and by position, and
have their defaults and the attributes of their classes."""

import inspect

import pytest

from tests.as_celery import table
from tests.as_celery.otherwise import OTHER_DEFAULTS, TAKE_LESS, WITHOUT_ATTRIBUTES
from tests.as_celery.same import methods, pairs

BY_NAME, BY_PLACE = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY), (
    inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD,
)  # fmt: skip
ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters(one):
    try:
        return [one for one in inspect.signature(one).parameters.values() if one.name != "self"]
    except Exception:  # noqa: BLE001 - proxies without an app, classes of C
        return None


def not_taken(theirs, ours):
    """The arguments of Celery's that canvas' does not take; without those by which it gives its own functions local
    names."""
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
    found += [name for name, ours in zip(wanted, places, strict=False) if name != ours and name in named]
    local = {one.name for one in theirs if one.default is not one.empty and callable(one.default)}
    return [name for name in found if name not in local]


def other_defaults(theirs, ours):
    """The parameters of both whose defaults differ; one that canvas alone does not require is no difference."""
    mine = {one.name: one for one in ours}
    common = [(one, mine[one.name]) for one in theirs if one.name in mine and one.kind not in ANY_NUMBER]
    return [
        f"{one.name}={one.default!r}, here {own.default!r}" for one, own in common
        if one.default is not one.empty and not callable(one.default) and repr(one.default) != repr(own.default)
    ]  # fmt: skip


def compared(judge):
    """By name, how the parameters of canvas' functions, classes and methods differ, as ``judge`` finds."""
    found = {}
    for label, theirs, ours in pairs():
        calls = {label: (theirs, ours)}
        if inspect.isclass(theirs):
            calls |= {f"{label}.{name}": (one, other) for name, one, other in methods(theirs, ours)}
        for name, (one, other) in calls.items():
            first, second = parameters(one), parameters(other)
            if first is not None and second is not None:
                found[name] = judge(first, second)
    return {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.parametrize(("judge", "known"), [(not_taken, TAKE_LESS), (other_defaults, OTHER_DEFAULTS)])
def test_parameters_are_celerys(judge, known):
    wrong = compared(judge)
    assert {name: found for name, found in wrong.items() if name not in known} == {}
    assert set(known) - set(wrong) == set(), "take these off tests/as_celery/otherwise.py"


def test_classes_have_celerys_attributes():
    """Those of ``table.CLASSES`` are compared there, by objects of theirs."""
    wrong, elsewhere = {}, [table.resolved(theirs) for theirs, _ in table.CLASSES.values()]
    for label, theirs, ours in pairs():
        if inspect.isclass(theirs) and inspect.isclass(ours) and theirs not in elsewhere:
            names = [name for name in dir(theirs) if not name.startswith("_")]
            wrong[label] = {name for name in names if not hasattr(ours, name) and not table.has_attribute(ours, name)}
    missing = {label: names - set(WITHOUT_ATTRIBUTES.get(label, "").split()) for label, names in wrong.items()}
    assert {label: names for label, names in missing.items() if names} == {}
    stale = {label: set(names.split()) - wrong.get(label, set()) for label, names in WITHOUT_ATTRIBUTES.items()}
    assert {label: names for label, names in stale.items() if names} == {}, "take these off WITHOUT_ATTRIBUTES"
