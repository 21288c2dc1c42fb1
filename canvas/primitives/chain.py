"""A chain: signatures that run one after the other, and the ``|`` that makes chains, groups and chords.

The rules of ``|`` are semantics.md §1.1; composing never changes its operands.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from reprlib import recursive_repr
from typing import Any, TypeVar

from canvas.caller_warnings import without_own_frames
from canvas.errors import CompositionError
from canvas.model.call_options import LAST_STEP
from canvas.primitives.chord import chord, ends_in_group, ends_in_group_of_one
from canvas.primitives.composite import TaskList, follow
from canvas.primitives.cycles import refuse_cycles
from canvas.primitives.fields import as_list
from canvas.primitives.group import group, is_empty_group, unrolled
from canvas.primitives.mapping import chunks
from canvas.primitives.misuse import advice
from canvas.primitives.registry import maybe_signature, subtype
from canvas.primitives.signature import Position, Signature
from canvas.primitives.stamping import stamp_chain
from canvas.text import shorten_names

S = TypeVar("S", bound=Signature[Any])


@subtype("chain")
class _chain(TaskList[Any]):
    """The chain as a value; ``chain(...)`` is how it is made."""

    kind = "chain"
    copies_are_immutable = False

    def __init__(self, *tasks: Any, **options: Any) -> None:
        options.pop("use_link", None)
        steps = tasks[0] if len(tasks) == 1 and not isinstance(tasks[0], dict) else tasks
        super().__init__(_signatures(steps), **options)

    _stamp = staticmethod(stamp_chain)

    @property
    def result_id(self) -> str | None:
        """The id of its last step's result comes before its own."""
        return (self.tasks[-1].result_id if self.tasks else None) or super().result_id

    @without_own_frames
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.apply_async(args, kwargs) if self.tasks else None

    def unchain_tasks(self) -> list[Signature[Any]]:
        """Copies of the steps, with the chain's own callbacks on the last and errbacks on each."""
        return self.linked_steps([task.clone() for task in self.tasks])

    def linked_steps(self, steps: list[Signature[Any]]) -> list[Signature[Any]]:
        """``steps``, copies of its own, with the chain's callbacks on the last and errbacks on each."""
        if steps:
            for callback in as_list(self.options.get("link")):
                steps[-1].link(callback)
        for errback in as_list(self.options.get("link_error")):
            for step in steps:
                # Each has a copy: a stamp of one step must not reach the errback of another.
                step.link_error(errback.clone() if isinstance(errback, Signature) else deepcopy(errback))
        return steps

    def frozen_at(self, task_id: str | None, position: Position) -> Any:
        """The result is the last step's, its ``parent`` the one before."""
        if not self.tasks:
            raise CompositionError("an empty chain has no result to freeze")
        self.tasks = normal_steps(self.tasks, unroll=False)
        result: Any = None
        for step in self.tasks[:-1]:
            result = follow(step.freeze(root_id=position.root_id), result)
        result = follow(self.tasks[-1].freeze(task_id, **position.at_the_end()._asdict()), result)
        self.id = result.id
        return result

    @staticmethod
    def pipe(left: Signature[Any], right: Signature[Any]) -> Signature[Any]:
        """``left | right``."""
        return _Composition().pipe(left, right)

    @recursive_repr("...")
    def __repr__(self) -> str:
        if not self.tasks:
            return f"<{type(self).__name__.lstrip('_')}@{id(self):#x}: empty>"
        return shorten_names(self.tasks[0].task, " | ".join(repr(task) for task in self.tasks))


class chain(_chain):
    """``chain(a, b)``, ``chain([a, b])``, ``chain(s for …)``.

    By the rules of composition the result may be another kind: ``chain(group, step)`` is a chord, ``chain([group])``
    is the group. A chain with options, without steps, or with one signature stays a chain.
    """

    @without_own_frames
    def __new__(cls, *tasks: Any, **options: Any) -> Any:
        if tasks and not options and (len(tasks) != 1 or not isinstance(tasks[0], Signature)):
            steps = tasks[0] if len(tasks) == 1 else tasks
            folded = _Composition().fold([], _signatures(steps))
            if cls is chain or not isinstance(folded, _chain):
                return folded
        return super().__new__(cls)


def normal_steps(tasks: Sequence[Any], unroll: bool = True) -> list[Signature[Any]]:
    """The steps a chain really has (semantics.md C7–C10).

    Chains in it are spliced, one-member groups become their member, empty groups vanish (unless there is nothing
    else), and a group that something follows, also one that ends a chord, becomes a chord with that as its body. What
    follows a chord that ends in a group of one task follows that task; the chord's result stays a group's.
    With ``unroll``, a chord whose body is a chain led by a task gives up the rest of that chain to this one.
    """
    flat, empty = _spliced(tasks, unroll)
    if not flat and empty is not None:
        return [empty]
    steps: list[Signature[Any]] = []
    for given in reversed(flat):
        # Sent alone, chunks are a task that sends a group; nothing could wait for that.
        sig = given.group() if isinstance(given, chunks) and steps else given
        if isinstance(sig, group) and steps:
            steps[-1] = chord(sig, body=steps[-1], app=sig.own_app)
        elif isinstance(sig, chord) and steps and ends_in_group(sig) and not ends_in_group_of_one(sig):
            steps[-1] = sig.with_fields(kwargs={**sig.kwargs, "body": unrolled(sig.body) | steps[-1]})
        else:
            steps.append(sig)
    steps.reverse()
    return steps


def _spliced(tasks: Sequence[Any], unroll: bool) -> tuple[list[Signature[Any]], Signature[Any] | None]:
    """The steps of a chain, with those of chains in it and without empty groups; and one of the empty groups."""
    flat: list[Signature[Any]] = []
    empty: Signature[Any] | None = None
    pending: list[Any] = list(reversed(tasks))
    opened: list[_chain] = []
    while pending:
        given = pending.pop()
        if given is _CLOSE:
            opened.pop()
            continue
        sig = unrolled(maybe_signature(given))
        if isinstance(sig, _chain):
            if any(sig is one for one in opened):
                refuse_cycles(sig)
            opened.append(sig)
            pending.append(_CLOSE)
            pending.extend(reversed(sig.tasks))
        elif unroll and isinstance(sig, chord) and _led_by_task(sig.body):
            pending.extend(reversed(_unroll(sig)))
        elif is_empty_group(sig):
            empty = sig
        else:
            flat.append(sig)
    return flat, empty


_CLOSE = object()
"""Marks the end of an inner chain's steps among the steps that are still to be read."""
_CHAIN_OWN = frozenset({*LAST_STEP, "link", "link_error", "parent_id", "root_id"})


def _led_by_task(body: Any) -> bool:
    return isinstance(body, _chain) and bool(body.tasks) and not isinstance(unrolled(body.tasks[0]), group)


def _unroll(sig: chord) -> list[Signature[Any]]:
    """``chord(header, a | b | c)`` as ``chord(header, a), b, c``."""
    body = sig.body
    # Copies are made only for callbacks, and only of what is linked to: whole copies of chords that are nested deeply
    # would be made once for each level.
    linked = body.options.get("link") or body.options.get("link_error")
    first, *rest = body.linked_steps([task.linkable() for task in body.tasks]) if linked else body.tasks
    first = unrolled(first)
    own = {key: value for key, value in body.options.items() if key not in _CHAIN_OWN}
    first = first.with_fields(options={**own, **first.options})
    return [sig.with_fields(kwargs={**sig.kwargs, "body": first}), *rest]


class _Composition:
    """Signatures on their way into one composite.

    Operands are never changed, so they are copied. Each is copied once, however many follow it: a copy is changed in
    place.
    """

    def __init__(self) -> None:
        self._copies: dict[int, Signature[Any]] = {}

    def fold(self, steps: list[Signature[Any]], more: Sequence[Signature[Any]]) -> Signature[Any]:
        """Append ``more`` to a chain's steps one by one; the result need not be a chain."""
        pending = list(reversed(more))
        while pending:
            sig = unrolled(pending.pop())
            if isinstance(sig, _chain):
                pending.extend(reversed(self._steps_of(sig)))
            elif is_empty_group(sig):
                continue
            elif not steps and isinstance(sig, group):
                whole: Signature[Any] = sig
                while pending:
                    right = pending.pop()
                    whole = self._joined(whole, self._copy(right) if pending else right)
                return whole
            else:
                # The caller may still change the last one, so it is not copied; the others are.
                self._append(steps, self._copy(sig) if pending else sig)
        whole = _chain(*steps)
        self._copies[id(whole)] = whole
        return whole

    def pipe(self, left: Signature[Any], right: Signature[Any]) -> Signature[Any]:
        """``left | right``."""
        nothing = is_empty_group(right) or (isinstance(left, _chain) and isinstance(right, _chain) and not right.tasks)
        if nothing and isinstance(left, _chain | group):
            return left
        if isinstance(left, group):
            return chord(left, body=right, app=left.own_app)
        if isinstance(left, _chain):
            return self._ended_with(left, unrolled(right)) or self._followed_by(left, right)
        if isinstance(left, chord):
            right = unrolled(right)
            # A chain and a larger group follow the chord; anything else joins its body.
            if not isinstance(right, _chain | group):
                return self._grown(left, right)
        elif not isinstance(right, _chain):
            return _chain(left, unrolled(right), app=left.own_app)
        return _chain(left, *(right.unchain_tasks() if isinstance(right, _chain) else [right]), app=left.own_app)

    def _joined(self, left: Signature[Any], right: Signature[Any]) -> Signature[Any]:
        """``left | right``, also where a subclass has its own ``|``."""
        return self.pipe(left, right) if type(left).__or__ is Signature.__or__ else left | right

    def _ended_with(self, left: _chain, right: Signature[Any]) -> Signature[Any] | None:
        """``left`` with ``right`` inside its last step, if that is a group or a chord that takes it; ``None`` if
        ``right`` becomes a step of its own."""
        last = left.tasks[-1] if left.tasks else None
        takes = isinstance(last, group) or (isinstance(last, chord) and not isinstance(right, chord))
        if not takes or isinstance(right, group | _chain):
            return None
        ended = self._copy(left)
        ended.options.pop("task_id", None)  # the id of the former last step
        self._append(ended.kwargs["tasks"], right)
        return ended

    def _followed_by(self, left: _chain, right: Signature[Any]) -> Signature[Any]:
        """A chain with ``right`` after its last step."""
        own = id(left) in self._copies and type(left) is _chain and left.tasks and not left.options
        step = unrolled(right)
        if not own or isinstance(step, _chain) or is_empty_group(step):
            return self.fold(self._steps_of(left), [right])
        left.tasks[-1] = self._copy(left.tasks[-1])
        self._append(left.tasks, step)
        return left

    def _append(self, steps: list[Signature[Any]], sig: Signature[Any]) -> None:
        last = steps[-1] if steps else None
        if isinstance(last, group) and not isinstance(sig, group):
            steps[-1] = chord(last, body=sig)
            if len(steps) > 1 and isinstance(steps[-2], chord):
                steps[-2:] = [self._grown(steps[-2], steps[-1])]
        elif isinstance(last, chord) and not isinstance(sig, chord):
            steps[-1] = self._grown(last, sig)
        else:
            steps.append(sig)

    def _grown(self, last: chord, sig: Signature[Any]) -> chord:
        """A copy of the chord, with ``sig`` at the end of its body."""
        grown = self._copy(last)
        grown.body = self._joined(self._copy(grown.body_or_raise()), sig)
        return grown

    def _steps_of(self, sig: _chain) -> list[Signature[Any]]:
        """Copies of its steps, which have the chain's callbacks and errbacks."""
        return sig.linked_steps([self._copy(task) for task in sig.tasks])

    def _copy(self, sig: S) -> S:
        if id(sig) in self._copies:
            return sig
        copy = sig.clone()
        self._note(copy)
        return copy

    def _note(self, copy: Signature[Any]) -> None:
        """Note that a signature is a copy, with all that it is made of."""
        self._copies[id(copy)] = copy
        for member in copy.tasks if isinstance(copy, _chain) else (copy.body,) if isinstance(copy, chord) else ():
            if member is not None:
                self._note(member)


def _signatures(tasks: Any) -> list[Signature[Any]]:
    found = list(tasks) if isinstance(tasks, Iterable) and not isinstance(tasks, dict | str) else [tasks]
    for position, task in enumerate(found):
        if not isinstance(task, dict):
            raise CompositionError(f"a chain takes signatures; step {position} is {task!r:.200}{advice(task)}")
    return [maybe_signature(task) for task in found]
