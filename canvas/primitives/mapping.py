"""One task over many arguments: map, starmap, chunks (semantics.md §7).

On the wire all three are plain signatures of ``celery.map``, ``celery.starmap`` and ``celery.chunks``, without
a ``subtask_type``.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from canvas.caller_warnings import without_own_frames
from canvas.errors import CompositionError
from canvas.model.workflow_run import BATCH
from canvas.primitives.group import group
from canvas.primitives.ports import SignatureApp
from canvas.primitives.registry import maybe_signature, subtype
from canvas.primitives.signature import Signature

YIELDED_PAGE = "canvas.yielded_page"
"""The built-in task that gives a page of those that a generator task yields."""


def _items(task: Signature[Any], it: Iterable[Any]) -> list[Any]:
    if not isinstance(it, Iterable):
        raise TypeError(f"{task.task}: expected the list of items to run it for; got {type(it).__name__} {it!r:.100}")
    return list(it)


class _Mapped(Signature[list[Any]]):
    """A call of ``celery.map`` or ``celery.starmap``, carrying the mapped ``task`` and its items, ``it``."""

    _task_name = ""
    plain = True

    def __init__(self, task: Any, it: Iterable[Any], **options: Any) -> None:
        app = options.pop("app", None)
        inner = maybe_signature(task) if isinstance(task, dict) else task.s()
        super().__init__(
            self._task_name,
            (),
            {"task": inner, "it": _items(inner, it)},
            immutable=True,
            app=app if app is not None else inner.own_app,
            **options,
        )

    def members(self) -> list[Signature[Any]]:
        return [self.kwargs["task"]]

    @property
    def route_name(self) -> str | None:  # type: ignore[override]
        """The name of the mapped task, whose route this call takes."""
        return self.kwargs["task"].task  # type: ignore[no-any-return]

    def adopted_kwargs(self, kwargs: dict[str, Any], app: SignatureApp | None) -> dict[str, Any]:
        return _adopted(kwargs, app)


@subtype("xmap")
class xmap(_Mapped):
    """``[task(x) for x in it]``, in one task."""

    _task_name = "celery.map"

    def __repr__(self) -> str:
        return f"[{self.kwargs['task'].task}(x) for x in {self.kwargs['it']!r:.100}]"


@subtype("xstarmap")
class xstarmap(_Mapped):
    """``[task(*x) for x in it]``, in one task."""

    _task_name = "celery.starmap"

    def __repr__(self) -> str:
        return f"[{self.kwargs['task'].task}(*x) for x in {self.kwargs['it']!r:.100}]"


@subtype("batch")
class batch(_Mapped):
    """``[task(x, *args, **kwargs) for x in it]``, in one task of canvas' workers, with the arguments of ``task``."""

    _task_name = BATCH

    def __repr__(self) -> str:
        return f"[{self.kwargs['task'].task}(x, …) for x in {self.kwargs['it']!r:.100}]"


@subtype("chunks")
class chunks(Signature[list[Any]]):
    """The items of ``it`` in pieces of ``n``, each a ``celery.starmap`` of ``task``; sent as a group.

    >>> from canvas import Canvas
    >>> app = Canvas("shop", broker="memory://", backend="memory://")
    >>> add = app.task(lambda x, y: x + y, name="add")
    >>> add.chunks([(1, 1), (2, 2), (3, 3)], 2).apply().get()
    [[2, 4], [6]]
    """

    plain = True

    def __init__(self, task: Any, it: Iterable[Any], n: int, **options: Any) -> None:
        if not isinstance(n, int) or n < 1:
            raise CompositionError(f"chunks needs a whole number of items a piece, 1 or more; got {n!r}")
        app = options.pop("app", None)
        inner = maybe_signature(task) if isinstance(task, dict) else task.s()
        super().__init__(
            "celery.chunks",
            (),
            {"task": inner, "it": _items(inner, it), "n": n},
            immutable=True,
            app=app if app is not None else inner.own_app,
            **options,
        )

    def members(self) -> list[Signature[Any]]:
        """The members of the group that it is sent as."""
        return [self.kwargs["task"]]

    def adopted_kwargs(self, kwargs: dict[str, Any], app: SignatureApp | None) -> dict[str, Any]:
        """``kwargs`` with a signature in the place of the task's dict."""
        return _adopted(kwargs, app)

    @without_own_frames
    def __call__(self, **options: Any) -> Any:
        return self.apply_async(**options)

    def group(self) -> group:
        """The group it stands for."""
        pieces = _pieces(iter(self.kwargs["it"]), self.kwargs["n"])
        return group(
            (xstarmap(self.kwargs["task"], piece, app=self.own_app) for piece in pieces),
            app=self.own_app,
            **self.options,
        )

    @classmethod
    def apply_chunks(cls, task: Any, it: Iterable[Any], n: int, app: SignatureApp | None = None) -> Any:
        """Send the chunks of ``task`` over ``it``, ``n`` items each. Returns the GroupResult."""
        return cls(task, it, n, app=app)()


def _adopted(kwargs: dict[str, Any], app: SignatureApp | None) -> dict[str, Any]:
    task, it = kwargs.get("task"), kwargs.get("it")
    if not isinstance(task, dict) or not isinstance(it, list | tuple):
        raise CompositionError(
            f"a map needs a signature under kwargs['task'] and a list under kwargs['it']; got {kwargs!r:.200}"
        )
    return {**kwargs, "task": maybe_signature(task, app), "it": list(it)}


def _pieces(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while piece := list(islice(items, size)):
        yield piece
