"""Names of ``celery.utils.text`` and ``celery.utils.term``: text for people."""

import platform
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pprint import pformat
from typing import Any

_KEY = re.compile(r"%(\w|%)")


def str_to_list(s: Any) -> Any:
    """Text as the list of its parts between commas; other values are returned as they are."""
    return s.split(",") if isinstance(s, str) else s


def dedent_initial(s: str, n: int = 4) -> str:
    """``s`` without ``n`` spaces at its start."""
    return s[n:] if s[:n] == " " * n else s


def dedent(s: str, sep: str = "\n") -> str:
    """``s`` without four spaces at the start of each line."""
    return sep.join(dedent_initial(line) for line in s.splitlines())


def fill_paragraphs(s: str, width: int, sep: str = "\n") -> str:
    return sep.join(textwrap.fill(part, width) for part in s.split(sep))


def join(l: Sequence[str], sep: str = "\n") -> str:  # noqa: E741 - Celery's name
    """The items that are not empty, joined."""
    return sep.join(item for item in l if item)


def ensure_sep(sep: str, s: str, n: int = 2) -> str:
    """``s`` with at least ``n`` separators at its end."""
    return s + sep * (n - s.count(sep))


def ensure_newlines(s: str, n: int = 2) -> str:
    return ensure_sep("\n", s, n)


def abbr(S: str | None, max: int, ellipsis: str | bool | None = "...") -> str:
    """``S``, cut to ``max`` characters, among them the ``ellipsis``, if that is text; ``???`` for None."""
    if S is None:
        return "???"
    if len(S) <= max:
        return S
    return S[: max - len(ellipsis)] + ellipsis if isinstance(ellipsis, str) else S[:max]


def abbrtask(S: str | None, max: int) -> str:
    """A task's name, with its module cut; ``???`` for None."""
    if S is None or len(S) <= max:
        return abbr(S, max)
    module, _, name = S.rpartition(".")
    return f"{abbr(module, max - len(name) - 3, False)}[.]{name}"


def indent(t: str, indent: int = 0, sep: str = "\n") -> str:
    return sep.join(" " * indent + part for part in t.split(sep))


def truncate(s: str, maxlen: int = 128, suffix: str = "...") -> str:
    """``s``, cut at the end of a word to ``maxlen`` characters."""
    if maxlen and len(s) >= maxlen:
        return s[:maxlen].rsplit(" ", 1)[0] + suffix
    return s


def pluralize(n: float, text: str, suffix: str = "s") -> str:
    return text + suffix if n != 1 else text


def pretty(value: Any, width: int = 80, nl_width: int = 80, sep: str = "\n", **options: Any) -> str:
    """A value over several lines."""
    if isinstance(value, dict):
        return f"{sep} {pformat(value, 4, nl_width)[1:]}"
    if isinstance(value, tuple):
        return f"{sep}{' ' * 4}{pformat(value, width=nl_width, **options)}"
    return pformat(value, width=width, **options)


def remove_repeating(substr: str, s: str) -> str:
    """``s`` without ``substr`` at the start of names; the first one stays."""
    before, found, after = s.partition(substr)
    return before + found + re.sub(rf"(?<![\w.-]){re.escape(substr)}", "", after)


def remove_repeating_from_task(task_name: str, s: str) -> str:
    """``s`` with the module of a task only where it comes first."""
    module = task_name.rpartition(".")[0]
    return remove_repeating(f"{module}.", s) if module else s


def simple_format(
    s: str, keys: Mapping[str, str | Callable[[], str]], pattern: re.Pattern[str] = _KEY, expand: str = r"\1"
) -> str:
    """``s`` with ``%k`` replaced by ``keys["k"]``, or its result if that is a function, and ``%%`` by ``%``.

    ``pattern`` finds keys, and ``expand`` is the template of a key. Raises ValueError for an unknown key.
    """
    known = {"%": "%", **keys}

    def resolve(found: re.Match[str]) -> str:
        key = found.expand(expand)
        if key not in known:
            raise ValueError(f"Unknown format %{key} in {s!r}; expected one of {', '.join(f'%{k}' for k in known)}")
        value = known[key]
        return str(value() if callable(value) else value)

    return pattern.sub(resolve, s) if s else s


class colored:
    """Text in colours of a terminal: ``colored().red("no")``."""

    _CODES = {"black": 30, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "white": 37}
    _SEQUENCES = {
        **{name: f"1;{code}" for name, code in _CODES.items()},
        **{f"i{name}": f"1;{code + 10}" for name, code in _CODES.items() if name != "black"},
        **{"bold": "1", "underline": "4", "blink": "5", "reverse": "7", "bright": "8"},
    }

    def __init__(self, *s: Any, **kwargs: Any) -> None:
        self.s = s
        self.enabled = platform.system() != "Windows" and kwargs.get("enabled", True)
        self.op = kwargs.get("op", "")

    def node(self, s: Sequence[Any], op: str) -> "colored":
        return type(self)(*s, enabled=self.enabled, op=op)

    def __getattr__(self, name: str) -> Callable[..., "colored"]:
        if name not in self._SEQUENCES:
            raise AttributeError(name)
        return lambda *s: self.node(s, f"\033[{self._SEQUENCES[name]}m")

    def reset(self, *s: Any) -> "colored":
        return self.node(s or ("",), "\033[0m")

    @property
    def names(self) -> dict[str, Callable[..., "colored"]]:
        """The functions for colours, by name."""
        return {name: getattr(self, name) for name in self._CODES}

    def no_color(self) -> str:
        return "".join(one.no_color() if isinstance(one, colored) else str(one) for one in self.s)

    def embed(self) -> str:
        prefix = self.op if self.enabled else ""
        return prefix + "".join(str(one) for one in self.s)

    def __str__(self) -> str:
        return f"{self.embed()}{chr(27)}[0m" if self.enabled else self.embed()

    def __repr__(self) -> str:
        return repr(self.no_color())

    def __len__(self) -> int:
        return len(self.no_color())

    def __add__(self, other: object) -> str:
        return f"{self}{other}"
