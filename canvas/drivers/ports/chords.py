"""Chords: how many parts each waits for, which are in, and which are ready."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from canvas.model.settlement import (
    ChordDispatch,
    ChordExtension,
    ChordStart,
    Keep,
    MailboxStep,
    Part,
    ReadyChord,
    ResultWrite,
    RunWrite,
    Settlement,
)


class Records(NamedTuple):
    """The half of settlements that a result store writes, in one step."""

    stores: Sequence[ResultWrite] = ()
    parts: Sequence[Part] = ()
    chord_starts: Sequence[ChordStart] = ()
    extensions: Sequence[ChordExtension] = ()
    keeps: Sequence[Keep] = ()
    mail: Sequence[MailboxStep] = ()
    runs: Sequence[RunWrite] = ()

    @classmethod
    def of(cls, settlements: Sequence[Settlement]) -> "Records":
        """The records of settlements, in the order of these."""
        if len(settlements) == 1:
            (one,) = settlements
            return cls(one.stores, one.parts, one.chord_starts, one.chord_extensions, one.keeps, one.mail, one.runs)
        return cls(
            [x for s in settlements for x in s.stores],
            [x for s in settlements for x in s.parts],
            [x for s in settlements for x in s.chord_starts],
            [x for s in settlements for x in s.chord_extensions],
            [x for s in settlements for x in s.keeps],
            [x for s in settlements for x in s.mail],
            [x for s in settlements for x in s.runs],
        )

    @classmethod
    def of_end(cls, end: ChordDispatch) -> "Records":
        """The records of the end of a chord."""
        return cls(end.stores, end.parts, end.chord_starts, mail=end.mail, runs=end.runs)


class ChordStore(Protocol):
    """Counts the parts of chords, beside the records of their members."""

    @property
    def ended_by_celery(self) -> bool:
        """Whether Celery's workers end chords of this store by the records of their members: each ``ChordStart`` has to
        have the structure of its header, also that of a flat one, and each member a record, also one that ignores its
        result."""

    def start_chords(self, chord_starts: Sequence[ChordStart], extensions: Sequence[ChordExtension] = ()) -> None:
        """Start chords: set their sizes (before any part is published), and let running ones wait for one part more."""

    def record(self, records: Records) -> list[ReadyChord]:
        """Write runs, records, parts, chord starts and changes of mailboxes in one atomic call. Returns the chords that
        became ready.

        Raises RefusedError.

        It is safe to repeat: a part counts once per task id, an extension once per its member, a change of a mailbox
        once per its id, and a run that has begun another attempt is not written. A mailbox lives as long as its run is
        kept; a change of the mailbox of a run that is not kept does nothing.
        """

    def readiness(self, group_id: str) -> str | None:
        """A text for a chord that is ready, and that no worker has ended: the same until its end, and another one when
        the chord is started again and is ready again. ``None`` for other chords."""

    def delete_chord(self, group_id: str, failed: bool, expires: int) -> None:
        """Delete a chord whose body has been sent, or which failed. The rest of its state expires after ``expires``
        seconds; with 0 its expiry stays as it is."""

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        """Chords that have been ready for ``older_than`` seconds and whose body no worker has sent; and those that have
        had parts, but no size for a long time."""

    def renew(self, every: float) -> int:
        """Prolong the keys of the chords that have not ended, which other workers may let expire sooner. Returns how
        many chords were looked at.

        Once in ``every`` seconds, whichever process calls it; 0 in between.
        """
