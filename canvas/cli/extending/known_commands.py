"""The commands of a group: those of canvas, imported when one is read, and those that a program adds."""

from collections.abc import Callable, Iterable, Iterator, MutableMapping

import click


class KnownCommands(MutableMapping[str, click.Command]):
    """By name. A program that extends the command line may set, read and delete commands, as in click's own mapping."""

    def __init__(self, names: Iterable[str], load: Callable[[str], click.Command]) -> None:
        """``load`` imports one of ``names``."""
        self.added: dict[str, click.Command] = {}
        self._names = set(names)
        self._load = load

    def __getitem__(self, name: str) -> click.Command:
        if name in self._names and name not in self.added:
            return self._load(name)
        return self.added[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self.added[name] = command

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.added.pop(name, None)
        self._names.discard(name)

    def __iter__(self) -> Iterator[str]:
        return iter({*self._names, *self.added})

    def __len__(self) -> int:
        return len({*self._names, *self.added})

    def __contains__(self, name: object) -> bool:
        return name in self._names or name in self.added
