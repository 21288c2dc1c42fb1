"""The results of a group, under the group's id (semantics.md R4)."""

from collections.abc import Iterable
from typing import Any

from canvas.context import current_app
from canvas.model.record import Handle
from canvas.result.app_classes import ResultApp
from canvas.result.result_set import ResultSet
from canvas.result.tuples import group_result, result_from_tuple


@group_result
class GroupResult(ResultSet, Handle):
    """The results of a group, under the group's id."""

    def __init__(
        self,
        id: str | None = None,
        results: Iterable[Any] | None = None,
        parent: Any = None,
        app: ResultApp | None = None,
        **_: Any,
    ) -> None:
        # Set here rather than by the base's __init__: every group that is sent makes one.
        self.results = list(results or ())
        if app is not None:
            self._app = app
        self.id = id
        self.parent = parent

    def save(self, backend: Any = None) -> Any:
        """Keep the group's structure for ``GroupResult.restore(id)``."""
        return (backend or self.backend).save_group(self.id, self.as_tuple())

    def delete(self, backend: Any = None) -> None:
        """Remove the kept structure."""
        (backend or self.backend).delete_group(self.id)

    @classmethod
    def restore(cls, id: str, backend: Any = None, app: ResultApp | None = None) -> "GroupResult | None":
        """The group that was saved under ``id``; ``None`` when there is none (R4)."""
        app = app or cls._app
        structure = (backend or (app or current_app()).backend).restore_group(id)
        return None if structure is None else result_from_tuple(structure, app)

    def as_tuple(self) -> tuple[Any, ...]:
        """``((id, parent), [members])`` (R1)."""
        return self.own_tuple(self.parent.as_tuple() if self.parent is not None else None)

    def own_tuple(self, before: Any) -> tuple[Any, ...]:
        return (self.id, before), [result.as_tuple() for result in self.results]

    def forget(self) -> None:
        """Delete the members' records and the kept structure, its ancestors' too."""
        super().forget()
        if self.id is not None and self.backend.stores:
            self.delete()
        if self.parent is not None:
            self.parent.forget()

    def __str__(self) -> str:
        return str(self.id)

    def __bool__(self) -> bool:
        return bool(self.id or self.results)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return other.id == self.id and other.results == self.results and other.parent == self.parent
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<GroupResult: {self.id} [{', '.join(str(r.id) for r in self.results)}]>"

    def __reduce__(self) -> tuple[Any, ...]:
        return GroupResult, (self.id, self.results, self.parent)
