"""Texts with ``%`` keys, as in the names of nodes and files."""

import re
from collections.abc import Mapping
from typing import Any

KEY = re.compile(r"%(\w|%)")


def simple_format(text: str, keys: Mapping[str, Any], pattern: re.Pattern[str] = KEY, expand: str = r"\1") -> str:
    """``text`` with ``%k`` replaced by ``keys["k"]`` and ``%%`` by ``%``. Raises ValueError for an unknown key."""
    known = {"%": "%", **keys}

    def resolve(found: re.Match[str]) -> str:
        key = found.expand(expand)
        if key not in known:
            raise ValueError(f"Unknown format %{key} in {text!r}; expected one of {', '.join(f'%{k}' for k in known)}")
        value = known[key]
        return str(value() if callable(value) else value)

    return pattern.sub(resolve, text) if text else text
