"""Records, chords and mailboxes to write, divided between the partitions that have them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from canvas.model.settlement import ChordExtension, ChordStart, Keep, MailboxStep, Part, ResultWrite


class RecordSet:
    """The part of a record call that one partition writes."""

    def __init__(self) -> None:
        self.stores: list[ResultWrite] = []
        self.parts: list[Part] = []
        self.joins: list[ChordStart] = []
        self.extensions: list[ChordExtension] = []
        self.keeps: list[Keep] = []
        self.mail: list[MailboxStep] = []

    @property
    def may_complete(self) -> bool:
        """Whether a chord may be ready by it: what else there is should be written before."""
        return bool(self.parts or self.mail)

    def whole(self) -> tuple[Sequence[Any], ...]:
        """The arguments of ChordStore.record."""
        return self.stores, self.parts, self.joins, self.extensions, self.keeps, self.mail


def divided(
    of_id: Callable[[str], int], stores: Iterable[ResultWrite], parts: Iterable[Part], joins: Iterable[ChordStart],
    extensions: Iterable[ChordExtension], keeps: Iterable[Keep], mail: Iterable[MailboxStep],
) -> list[tuple[int, RecordSet]]:  # fmt: skip
    """By number of the partition, what it is to write; those that may complete a chord come last."""
    found: dict[int, RecordSet] = {}

    def of(some_id: str) -> RecordSet:
        return found.setdefault(of_id(some_id), RecordSet())

    for store in stores:
        of(store.task_id).stores.append(store)
    for join in joins:
        of(join.group_id).joins.append(join)
    for extension in extensions:
        of(extension.group_id).extensions.append(extension)
    for keep in keeps:
        of(keep.group_id).keeps.append(keep)
    for part in parts:
        of(part.group_id).parts.append(part)
    for step in mail:
        of(step.run).mail.append(step)
    return sorted(found.items(), key=lambda item: item[1].may_complete)
