"""The replies of the scripts, as values of ``canvas.model``."""

from collections.abc import Mapping, Sequence
from typing import Any

from canvas.errors import RefusedError
from canvas.model.settlement import DONE, ReadyChord, SettleResult


def ready_of(found: Sequence[Any]) -> ReadyChord:
    """A ready chord: group, the callback of its last part, parts, structure, 1 where it is lost."""
    group_id, callback, parts, structure, lost = found
    return ReadyChord(group_id.decode(), callback, parts, structure, bool(lost))


_NOT_HELD = SettleResult(False)


def verdict_of(found: Any) -> SettleResult:
    """A verdict: 1 held or 0; ``[1 or 0, ready chords, groups of chords that ended, where any did]``; or ``[-1, why it
    was refused]``."""
    if isinstance(found, int):
        return DONE if found else _NOT_HELD
    held, rest, *ended = found
    if held < 0:
        return SettleResult(False, refused=text(rest))
    ready = [ready_of(one) for one in rest] if rest else []
    return SettleResult(bool(held), ready, ended=[text(one) for one in ended[0]] if ended else ())


def with_refused(verdicts: list[Any], bad: Mapping[int, str]) -> list[Any]:
    """Verdicts, with those on settlements that could not be packed in their places."""
    for place in sorted(bad):
        verdicts.insert(place, [-1, bad[place]])
    return verdicts


def accepted(answer: list[Any]) -> list[Any]:
    """The answer itself. Raises RefusedError where it is ``[-1, why]``."""
    if answer and answer[0] == -1:
        raise RefusedError(text(answer[1]))
    return answer


def mail_in(fields: Mapping[bytes, bytes]) -> dict[str, list[bytes]]:
    """The values of a run's mailboxes, by mailbox, of the fields of its hash."""
    found: dict[str, dict[int, bytes]] = {}
    for field, value in fields.items():
        name, _, mailbox = text(field).partition("\0")
        number = name.removeprefix("@v") or "0"  # the first value's field has none
        if field.startswith(b"@v") and number.isdigit():
            found.setdefault(mailbox, {})[int(number)] = value
    return {mailbox: [values[number] for number in sorted(values)] for mailbox, values in found.items()}


def text(value: Any) -> str:
    """Words of an answer, whatever their encoding."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
