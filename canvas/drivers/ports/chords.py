"""Chords: how many parts each waits for, which are in, and which are ready."""

from collections.abc import Sequence
from typing import Protocol

from canvas.model.settlement import ChordExtension, ChordStart, Keep, MailboxStep, Part, ReadyChord, ResultWrite


class ChordStore(Protocol):
    """Counts the parts of chords, beside the records of their members."""

    @property
    def needs_headers(self) -> bool:
        """Whether each ``ChordStart`` has to have the structure of its header, also that of a flat one."""

    def start_chords(self, joins: Sequence[ChordStart], extensions: Sequence[ChordExtension] = ()) -> None:
        """Start chords: set their sizes (before any part is published), and let running ones wait for one part more."""

    def record(
        self,
        stores: Sequence[ResultWrite],
        parts: Sequence[Part],
        joins: Sequence[ChordStart],
        extensions: Sequence[ChordExtension],
        keeps: Sequence[Keep] = (),
        mail: Sequence[MailboxStep] = (),
    ) -> list[ReadyChord]:
        """Records, parts, chord starts and changes of mailboxes in one atomic call; the chords that became ready.

        Raises RefusedError.

        It is safe to repeat: a part counts once per task id, an extension once per its member, and a change of a
        mailbox once per its id. A mailbox lives as long as its run is kept; a change of the mailbox of a run that is
        not kept does nothing.
        """

    def readiness(self, group_id: str) -> str | None:
        """A text for a chord that is ready, and that no worker has ended: the same until its end, and another one when
        the chord is started again and is ready again. ``None`` for other chords."""

    def delete_chord(self, group_id: str, failed: bool, expires: int) -> None:
        """Forget a chord whose body has been sent, or which failed. The rest of its state expires after ``expires``
        seconds; with 0 its expiry stays as it is."""

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        """Chords that have been ready for ``older_than`` seconds and whose body no worker has sent; and those that have
        had parts, but no size for a long time."""

    def renew(self, every: float) -> int:
        """Prolong the keys of the chords that live, which other workers may let expire sooner; how many chords were
        looked at.

        Once in ``every`` seconds, whichever process calls it; 0 in between.
        """
