"""The mailboxes of runs in this process. The caller holds the lock of the records."""

from collections import defaultdict
from collections.abc import Callable

from canvas.model.settlement import MailboxStep, Part, ReadyChord


class _Mailbox:
    """Values that no node has taken, and waits by their ids, each in its order."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.waits: dict[str, MailboxStep] = {}
        self.known: dict[str, bytes | None] = {}
        """By id, the value that was posted or resolved: for a wait that has not begun, the value that it will get."""


class MemoryMailboxes:
    """All mailboxes, by run and name."""

    def __init__(self, count: Callable[[Part], ReadyChord | None]) -> None:
        """``count`` counts the part with which the chord of a wait becomes ready."""
        self._count = count
        self._boxes: dict[str, dict[str, _Mailbox]] = defaultdict(lambda: defaultdict(_Mailbox))

    def values(self, run: str) -> dict[str, list[bytes]]:
        """The values that no node has taken, by mailbox."""
        return {name: list(box.values) for name, box in self._boxes.get(run, {}).items() if box.values}

    def took(self, run: str, mailbox: str, id: str) -> bool:
        """Whether a value with this id was brought to a mailbox."""
        return id in self._boxes.get(run, {}).get(mailbox, _Mailbox()).known

    def waiting(self) -> list[str]:
        """The runs in whose mailboxes nodes wait."""
        return [run for run, boxes in self._boxes.items() if any(box.waits for box in boxes.values())]

    def apply(self, step: MailboxStep) -> ReadyChord | None:
        """Take one step. Returns the chord of the wait that gets a value by it."""
        box = self._boxes[step.run][step.mailbox]
        match step.kind:
            case "post" | "offer":
                return self._post(box, step)
            case "take":
                return self._take(box, step)
            case _:
                return self._resolve(box, step)

    def _post(self, box: _Mailbox, step: MailboxStep) -> ReadyChord | None:
        assert step.value is not None
        if step.id in box.known or (step.kind == "offer" and not box.waits):
            return None
        box.known[step.id] = None
        if not box.waits:
            box.values.append(step.value)
            return None
        wait = box.waits.pop(next(iter(box.waits)))
        return self._end(box, wait, step.value)

    def _take(self, box: _Mailbox, step: MailboxStep) -> ReadyChord | None:
        if step.id in box.waits:
            return None
        if step.id in box.known:
            value = box.known[step.id]
            return None if value is None else self._end(box, step, value)
        if box.values:
            return self._end(box, step, box.values.pop(0))
        box.waits[step.id] = step
        return None

    def _resolve(self, box: _Mailbox, step: MailboxStep) -> ReadyChord | None:
        wait = box.waits.pop(step.id, None)
        if wait is not None:
            return self._end(box, wait, step.value)
        box.known.setdefault(step.id, step.value)
        return None

    def _end(self, box: _Mailbox, wait: MailboxStep, value: bytes | None) -> ReadyChord | None:
        """Give a wait its value, or end it without one."""
        box.known[wait.id] = None
        if value is None:
            return None
        return self._count(Part(wait.group_id, wait.id, 0, value, wait.callback, wait.expires, 1))
