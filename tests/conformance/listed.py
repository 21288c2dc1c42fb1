"""The list of known failures, `known.toml`, and what is wrong with a run."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent


class Known(NamedTuple):
    """Why a test fails."""

    reason: str
    may_pass: bool
    """Whether it fails depends on the machine."""


def _runs(entry: Mapping[str, Any], name: str) -> bool:
    """Whether an entry of the list is about a run: it names that run, or all runs of that client and worker."""
    return not {name, name.partition(" ")[0]}.isdisjoint(entry["runs"])


def known(name: str) -> dict[str, Known]:
    """The tests that may fail in a run."""
    listed = tomllib.loads((HERE / "known.toml").read_text())
    found: dict[str, Known] = {}
    for entry in listed.get("difference", []):
        if _runs(entry, name):
            found.update(dict.fromkeys(entry["tests"], Known(entry["reason"], entry.get("may_pass", False))))
    return found


def races(name: str, outcomes: Collection[str]) -> list[str]:
    """The tests of ``outcomes`` in which a client races with its worker: they pass unless the worker was the faster.

    The list names them without their parameters.
    """
    listed = tomllib.loads((HERE / "known.toml").read_text())
    racing = {test for entry in listed.get("race", []) if _runs(entry, name) for test in entry["tests"]}
    return [test for test in outcomes if test.partition("[")[0] in racing]


def judge(name: str, outcomes: dict[str, str], whole: bool) -> list[str]:
    """What is wrong with a run: failures that are not listed, and listed tests that pass or do not exist."""
    listed = known(name)
    wrong = [f"{name}: {test} failed" for test, is_ in outcomes.items() if is_ == "failed" and test not in listed]
    wrong += [
        f"{name}: {test} passes: remove it from known.toml"
        for test, why in listed.items()
        if outcomes.get(test) == "passed" and not why.may_pass
    ]
    if whole:
        wrong += [
            f"{name}: {test} is listed in known.toml, but there is no such test"
            for test in listed
            if test not in outcomes
        ]
    return wrong
