"""Records, chords and mailboxes to write, divided between the partitions that have them."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from canvas.drivers.ports.chords import Records

_ID_OF: Final = tuple(map(attrgetter, ("task_id", "group_id", "group_id", "group_id", "group_id", "run", "run")))
"""Returns, for each kind of records, the id that decides its partition."""


def divided(number_of: Callable[[str], int], records: Records) -> list[tuple[int, Records]]:
    """The records of each partition, with its number. Records that may complete a chord come last, because everything
    else should be written before."""
    found: dict[int, tuple[list[Any], ...]] = {}
    for kind, (items, id_of) in enumerate(zip(records, _ID_OF, strict=True)):
        for item in items:
            number = number_of(id_of(item))
            found.setdefault(number, tuple([] for _ in records))[kind].append(item)
    sets = [(number, Records(*kinds)) for number, kinds in found.items()]
    return sorted(sets, key=lambda one: bool(one[1].parts or one[1].mail))
