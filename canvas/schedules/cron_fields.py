"""The fields of a crontab: text such as ``*/15``, ``1-5,10`` or ``mon-fri`` as sets of numbers."""

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Cronspec: TypeAlias = int | str | Iterable[int]
"""One field, as users write it."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMED = {name: number for number, name in enumerate(_MONTHS, 1)} | {name: n for n, name in enumerate(_WEEKDAYS)}
_PART = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+?)(?:-(?P<last>\w+))?)(?:(?P<slash>/)(?P<step>\w+)?)?")


class ParseException(Exception):
    """A field of a crontab that cannot be read."""


class crontab_parser:
    """Reads one field of a crontab, whose numbers go from ``min_`` to ``max_ + min_ - 1``.

    A field is a list of parts with commas between: a number or a name (``mon``, ``january``), a range ``a-b`` (which
    starts over at the end of the field's numbers: ``22-2``), or ``*``; a range and ``*`` may have a step, ``*/15``.
    """

    ParseException = ParseException

    def __init__(self, max_: int = 60, min_: int = 0) -> None:
        self.max_ = max_
        self.min_ = min_

    def parse(self, spec: str) -> set[int]:
        """The numbers of a field. Raises ParseException for text that is not a field, ValueError for a number or a
        name outside its range."""
        found: set[int] = set()
        for part in spec.split(","):
            if not part:
                raise self.ParseException(f"empty part in {spec!r}")
            found.update(self._numbers(part))
        return found

    def _numbers(self, part: str) -> list[int]:
        match = _PART.fullmatch(part.strip())
        if match is None or (match["slash"] and match["first"] and not match["last"]):
            return self._span((part,))
        if match["slash"]:
            ends = (match["first"], match["last"]) if match["first"] else None
            return self._stepped(self._all() if ends is None else self._span(ends), match["step"])
        if match["star"]:
            return self._all()
        return self._span([end for end in (match["first"], match["last"]) if end is not None])

    def _range_steps(self, ends_and_step: Sequence[str]) -> list[int]:
        """The numbers of a range with a step, given as its three parts."""
        if len(ends_and_step) != 3:
            raise self.ParseException(f"a range with a step has three parts; got {ends_and_step!r}")
        return self._stepped(self._span(ends_and_step[:2]), ends_and_step[2])

    def _stepped(self, numbers: list[int], step: str | None) -> list[int]:
        if not step:
            raise self.ParseException("there is no number after the slash")
        if not step.isdecimal() or int(step) == 0:
            raise ValueError(f"expected a number above 0 after the slash; got {step!r}")
        return numbers[:: int(step)]

    def _all(self) -> list[int]:
        return list(range(self.min_, self.min_ + self.max_))

    def _span(self, ends: Sequence[str]) -> list[int]:
        first, last = self._number(ends[0]), self._number(ends[-1])
        if first <= last:
            return list(range(first, last + 1))
        return [*range(first, self.min_ + self.max_), *range(self.min_, last + 1)]

    def _number(self, text: str) -> int:
        if text.startswith("-"):
            raise self.ParseException(f"negative numbers are not supported; got {text!r}")
        try:
            number = int(text)
        except ValueError:
            named = _NAMED.get(text.strip()[:3].lower())
            if named is None:
                hint = ": a whole line of cron is read by crontab.from_string(…)" if " " in text else ""
                raise ValueError(f"expected a number, or the name of a day or a month; got {text!r}{hint}") from None
            number = named
        last = self.min_ + self.max_ - 1
        if not self.min_ <= number <= last:
            raise ValueError(f"expected a number from {self.min_} to {last}; got {text!r}")
        return number


def expanded(spec: Cronspec, max_: int, min_: int = 0) -> set[int]:
    """The numbers that one field stands for.

    Raises ParseException or ValueError for a field that cannot be read or is out of range, TypeError for one that is
    neither a number, text nor numbers.
    """
    if isinstance(spec, int):
        found = {spec}
    elif isinstance(spec, str):
        return crontab_parser(max_, min_).parse(spec)
    elif isinstance(spec, Iterable):
        found = set(spec)
    else:
        raise TypeError(f"expected a number, text or numbers; got {type(spec).__name__}")
    for number in found:
        if not min_ <= number < max_ + min_:
            raise ValueError(f"expected numbers from {min_} to {max_ + min_ - 1}; got {number!r}")
    return found
