"""Flower's query language for tasks: terms, ``field:value``, quotes, ``AND``, ``OR`` and parentheses."""

import ast
import re
from collections.abc import Callable
from typing import Any

from canvas.remote.cluster_entries import Task

FIELDS = frozenset({"name", "state", "worker", "args", "kwargs", "result"})
_SHORTEST, _LONGEST_QUERY, _TOKENS, _DEEPEST = 3, 2_048, 128, 5
_TOKEN = re.compile(r'\s*(?:(?P<paren>[()])|(?P<term>(?:"(?:\\["\\]|[^"])*"|\\["\\]|[^\s()"])+))')
Test = Callable[[Task], bool]


class QueryError(ValueError):
    """A query that cannot be read."""


def compiled(query: str) -> Test:
    """A function that says whether a task fits a query. Raises QueryError."""
    query = query.strip()
    if len(query) > _LONGEST_QUERY:
        raise QueryError(f"Query exceeds {_LONGEST_QUERY} characters.")
    if query.count('"') - query.count('\\"') & 1:
        raise QueryError(f"Unterminated quoted phrase at position {query.rfind(chr(34))}.")
    tokens = [(match["paren"] or match["term"], match.start()) for match in _TOKEN.finditer(query)]
    if len(tokens) > _TOKENS:
        raise QueryError(f"Query exceeds {_TOKENS} tokens.")
    return _Parser(tokens, len(query)).whole() if tokens else lambda task: True


class _Parser:
    """Reads tokens from left to right."""

    def __init__(self, tokens: list[tuple[str, int]], end: int) -> None:
        self._tokens = tokens
        self._end = end
        self._at = 0

    @property
    def _next(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _refuse(self, text: str) -> QueryError:
        at = self._tokens[self._at][1] if self._at < len(self._tokens) else self._end
        return QueryError(f"{text} at position {at}.")

    def whole(self) -> Test:
        found = self._either(0)
        if self._next:
            raise self._refuse(f"Unexpected {self._next!r}")
        return found

    def _either(self, depth: int) -> Test:
        tests = [self._all(depth)]
        while self._next == "OR":
            self._at += 1
            if self._next in ("", ")", "AND", "OR"):
                raise self._refuse("OR must be followed by a search term")
            tests.append(self._all(depth))
        return tests[0] if len(tests) == 1 else lambda task: any(test(task) for test in tests)

    def _all(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self._next not in ("", ")", "OR"):
            if self._next == "AND":
                self._at += 1
                if self._next in ("", ")", "AND", "OR"):
                    raise self._refuse("AND must be followed by a search term")
            tests.append(self._one(depth))
        return tests[0] if len(tests) == 1 else lambda task: all(test(task) for test in tests)

    def _one(self, depth: int) -> Test:
        token = self._next
        if token == "(":
            if depth >= _DEEPEST:
                raise self._refuse(f"Query nesting exceeds {_DEEPEST} levels")
            self._at += 1
            if self._next == ")":
                raise self._refuse("Empty group")
            found = self._either(depth + 1)
            if self._next != ")":
                raise self._refuse("Missing closing parenthesis")
            self._at += 1
            return found
        if token in ("", ")", "AND", "OR"):
            raise self._refuse("Expected a search term")
        if token == "NOT":
            raise self._refuse("NOT is not supported")
        test = self._term(re.sub(r'\\(["\\])|"', lambda match: match[1] or "", token))
        self._at += 1
        return test

    def _term(self, text: str) -> Test:
        field, colon, value = text.partition(":")
        field = field.casefold()
        if not colon or field not in FIELDS:
            field, value = "", text
            if text.startswith("-"):
                raise self._refuse("Negation with '-' is not supported")
        if not value:
            raise self._refuse("Search qualifier requires a value" if field else "Empty search term")
        wanted = value.casefold()
        if field == "state":
            return lambda task: task.state.casefold() == wanted
        if field == "kwargs" and "=" in value:
            key, _, item = wanted.partition("=")
            return lambda task: (key.strip(), item.strip()) in _pairs(task.kwargs)
        if len(value.strip()) < _SHORTEST:
            raise self._refuse(f"Substring search terms must contain at least {_SHORTEST} characters")
        return lambda task: wanted in _text(task, field)


def _text(task: Task, field: str) -> str:
    names = [field] if field else ["uuid", "name", "state", "worker", "args", "kwargs", "result"]
    found = [getattr(task, name, None) for name in names]
    return "\0".join(str(getattr(one, "hostname", one)) for one in found if one is not None).casefold()


def _pairs(kwargs: Any) -> set[tuple[str, str]]:
    try:
        found = ast.literal_eval(kwargs) if isinstance(kwargs, str) else kwargs
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return set()
    return {(str(k).casefold(), str(v).casefold()) for k, v in found.items()} if isinstance(found, dict) else set()
