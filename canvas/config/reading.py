"""Settings as a mapping that is read."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from canvas.config.kinds import WRONG


class ReadSettings(ABC):
    """The ways to read settings that follow from finding one and listing their names."""

    @abstractmethod
    def _find(self, name: str) -> Any:
        """The value of a setting or of another name that was kept; ``WRONG`` if there is none."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]: ...

    @abstractmethod
    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Settings as a mapping; without ``censored`` with their secrets."""

    def keys(self) -> list[str]:
        return list(self)

    def values(self) -> list[Any]:
        return [self._find(name) for name in self]

    def items(self) -> list[tuple[str, Any]]:
        return [(name, self._find(name)) for name in self]

    def get(self, name: str, default: Any = None) -> Any:
        """A setting, or ``default`` for a name that is not a setting."""
        found = self._find(name)
        return default if found is WRONG else found

    def copy(self) -> dict[str, Any]:
        """The values of all settings."""
        return dict(self.items())

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """A line for each setting."""
        return "\n".join(f"{name}: {value!r}" for name, value in self.table(with_defaults, censored).items())

    def as_dict(self) -> dict[str, Any]:
        """All settings, with secrets masked."""
        return self.table(with_defaults=True)
