"""Cycles of signatures: a chain among its own steps, a callback that calls itself back."""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, NoReturn, TypeVar, cast

from canvas.errors import CompositionError, CycleError

M = TypeVar("M", bound=Callable[..., Any])
OptionCheck = Callable[[str, Mapping[str, Any]], None]
SCALARS = frozenset({str, int, float, bool, type(None)})
"""Types of values that contain no others."""
_CONTAINERS = frozenset({dict, list, tuple})
_LINKS = ("link", "link_error", "chain", "chord")


def refusing_cycles(method: M) -> M:
    """A decorator of methods that call themselves on a signature's members: they raise CycleError for a cycle."""

    @wraps(method)
    def call(sig: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(sig, *args, **kwargs)
        except (RecursionError, CycleError) as exc:
            refused(exc, sig)

    return cast(M, call)


def refused(exc: Exception, *values: Any) -> NoReturn:
    """Raise CycleError, without the frames of the recursion, if ``exc`` comes from a cycle; otherwise ``exc``.

    Each call of a recursion that has gone too deep comes here with its arguments: those of the calls inside of it are
    not searched again.
    """
    if isinstance(exc, RecursionError):
        searched: dict[int, Any] = vars(exc).setdefault("searched", {})
        for value in values:
            _search(value, searched)
        raise exc
    raise exc.with_traceback(None) from None


def too_deep(sig: Mapping[str, Any]) -> CompositionError:
    """The error for a signature that cannot be compiled within Python's recursion limit.

    Raises CycleError if a cycle is the reason.
    """
    refuse_cycles(sig)
    return CompositionError(
        f"{sig['task']}: its signatures are nested too deeply in each other to be sent: "
        "write tasks that run one after the other as the steps of one chain"
    )


def check_composed(sig: Mapping[str, Any], check: OptionCheck | None = None) -> int:
    """``refuse_cycles`` for members and callbacks alone. It looks into each signature once.

    ``check`` is called as ``check(task, options)`` for each member and callback that has options.
    Returns how many members and callbacks there are, at all depths."""
    count = 0
    done: set[int] = set()
    path: list[tuple[int, Iterator[Any]]] = [(id(sig), iter(_composed_of(sig)))]
    opened = {id(sig)}
    while path:
        found = next(path[-1][1], None)
        count += found is not None
        if found is None:
            done.add(path[-1][0])
            opened.discard(path.pop()[0])
        elif id(found) in opened:
            refuse_cycles(sig)
        elif id(found) not in done:
            if check is not None and isinstance(found, dict) and found.get("options"):
                check(str(found.get("task")), found["options"])
            if inside := _composed_of(found):
                opened.add(id(found))
                path.append((id(found), iter(inside)))
    return count


def check_member(member: Mapping[str, Any], check: OptionCheck | None) -> None:
    """``check_composed`` that checks the options of ``member`` itself too."""
    if check is not None and member.get("options"):
        check(str(member.get("task")), member["options"])
    check_composed(member, check)


def _composed_of(sig: Any) -> list[Any]:
    """The signatures that a signature, or the group that is a chord's header, is made of."""
    if not isinstance(sig, dict):
        return []
    found: list[Any] = []
    given: list[Any] = []
    kwargs, options = sig.get("kwargs"), sig.get("options")
    if sig.get("subtask_type") and isinstance(kwargs, dict):
        given = [kwargs.get(name) for name in ("tasks", "header", "body")]
    if options and isinstance(options, dict):
        given += [options.get(name) for name in _LINKS]
    for one in given:
        if isinstance(one, dict):
            found.append(one)
        elif isinstance(one, list | tuple):
            found.extend(one)
    return found


def refuse_cycles(*values: Any) -> None:
    """Raise CycleError, with the path, if a signature contains itself.

    ``values`` are signatures, their wire forms, or containers of these. Members, callbacks, errbacks and arguments are
    followed, each object once.
    """
    done: dict[int, Any] = {}
    for value in values:
        _search(value, done)


def _search(start: Any, done: dict[int, Any]) -> None:
    """Depth first, without recursion: a cycle is usually found by a recursion that did not end. ``done``: by their ids,
    the containers that were searched before, and are not again."""
    path: list[tuple[Any, Any, Iterator[tuple[Any, Any]]]] = []
    open_ids: dict[int, int] = {}

    def enter(value: Any, step: Any) -> None:
        open_ids[id(value)] = len(path)
        path.append((value, step, _parts(value)))

    if _is_container(start) and id(start) not in done and not _is_flat(start):
        enter(start, None)
    while path:
        value, _, parts = path[-1]
        found = next(parts, None)
        if found is None:
            path.pop()
            del open_ids[id(value)]
            done[id(value)] = value
            continue
        step, part = found
        if id(part) in open_ids:
            circle = path[open_ids[id(part)] :]
            if any(_is_signature(one) for one, _, _ in circle):
                raise CycleError(f"cycle: {_described(circle, step)}: a signature cannot contain itself") from None
        elif _may_hold_others(part) and id(part) not in done:
            enter(part, step)


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """The keys or positions of a container, each with its value."""
    return iter(value.items()) if isinstance(value, Mapping) else enumerate(value)


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def _is_flat(value: Any) -> bool:
    """Whether it is a dict of plain values and of containers of these: most signatures are."""
    if not isinstance(value, dict):
        return False
    for inner in value.values():
        kind = type(inner)
        if kind in SCALARS or (kind in _CONTAINERS and not inner):
            continue
        if kind not in _CONTAINERS or not SCALARS.issuperset(map(type, inner.values() if kind is dict else inner)):
            return False
    return True


def _may_hold_others(value: Any) -> bool:
    """Whether it is a container that holds something else than plain values. Most arguments hold nothing else."""
    if type(value) in SCALARS or not _is_container(value):
        return False
    return not SCALARS.issuperset(map(type, value.values() if isinstance(value, dict) else value))


def _is_signature(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("task"), str) and "options" in value


def _described(circle: list[tuple[Any, Any, Any]], last: Any) -> str:
    """``add.options.link[0] → add``: each signature, and the place in it of the next."""
    first = next(at for at, (value, _, _) in enumerate(circle) if _is_signature(value))
    # It starts at a signature, wherever it was entered.
    steps = [step for _, step, _ in circle[1:]] + [last]
    turned = [(circle[at][0], steps[at]) for at in (*range(first, len(circle)), *range(first))]
    text = ""
    for value, step in turned:
        if _is_signature(value):
            text += f"{' → ' if text else ''}{value['task']}"
        text += f".{step}" if isinstance(value, Mapping) else f"[{step}]"
    for field in ("kwargs", "options"):
        text = text.replace(f".{field}.", ".")
    return f"{text} → {turned[0][0]['task']}"
