"""Workflows' runs: their fields, and the index by which they are found."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from canvas.model import states
from canvas.model.run_index import FoundRun, RunListing, RunQuery
from canvas.model.settlement import ReadyChord


class NewAttempt(NamedTuple):
    """An attempt of a run, other than the first."""

    before: int
    """The number of the attempt before it."""
    fields: Mapping[str, bytes]
    """Fields of the run that the attempt sets."""
    expires: int | None = None
    """Seconds for which the run is kept from now on; ``None``: as long as before."""
    start: ReadyChord | None = None
    """A chord that is ready from then on: a worker dispatches it, which starts the attempt."""
    state: str = states.PENDING
    """The state under which the run is listed."""
    unless: str = ""
    """A field of the run: the attempt does not begin if it holds the number of the attempt before."""
    call: str = ""
    """Identifies the caller, who gets the same answer each time it repeats the call."""


class RunRecords(Protocol):
    """Runs of workflows, each a set of named fields, and the index by which they are found.

    The index lists a run under its state: PENDING when it is saved and when an attempt begins, and then the
    ``run_state`` of each record of it that is stored, in the same step. A record of an attempt, by its ``run_attempt``,
    is not stored once the run has begun a later one. A run whose present attempt has the field
    ``cancelled`` is listed as CANCELLING, or CANCELLED when it has failed.
    """

    def save_run(
        self,
        run: str,
        fields: Mapping[str, bytes],
        expires: int | None,
        created: float | None,
        listing: RunListing | None = None,
        start: ReadyChord | None = None,
    ) -> str:
        """Keep fields of a workflow's run, for ``expires`` seconds from now; returns the id of the run.

        ``created`` (unix time) and ``listing`` are given for a new run, which is listed from then on. If another run
        that is still kept has the ``key`` of the listing, nothing is done, and that run's id is returned: of many
        callers one starts the run. ``start`` is a chord that is ready from then on: a worker dispatches it. Safe to
        repeat.
        """

    def read_run(self, run: str, names: Sequence[str]) -> list[bytes | None]:
        """Fields of a run, in order."""

    def read_runs(self, runs: Sequence[str], names: Sequence[str]) -> list[list[bytes | None]]:
        """``read_run`` of each of ``runs``, in order, in as few calls as possible."""

    def begin_attempt(self, run: str, new: NewAttempt) -> bool:
        """Begin an attempt and set its fields; False, and nothing is done, when another call has begun it, or the field
        ``unless`` forbids it.

        The record of the run, which is that of the attempt before, is deleted.
        """

    def mark_attempt(self, run: str, attempt: int, fields: Mapping[str, bytes]) -> bool:
        """Set fields of a run while ``attempt`` is its latest attempt; False, and nothing is done, when it has begun a
        later one, or is not kept. Safe to repeat."""

    def expire_run(
        self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int,
        latest: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        """Let a run expire after ``seconds``, and those of these records that exist after ``record_seconds``; 0:
        never. ``latest``: a run and an attempt; nothing is done unless that is its latest one."""

    def read_mail(self, run: str) -> dict[str, list[bytes]]:
        """The values that wait in the mailboxes of a run, by mailbox, in the order in which they were posted."""

    def took_mail(self, run: str, mailbox: str, id: str) -> bool:
        """Whether a value with this id was brought to the mailbox of a run that is kept."""

    def find_runs(self, query: RunQuery) -> list[FoundRun]:
        """The runs that a query asks for, the latest first. One of them may expire meanwhile."""

    def run_of_key(self, name: str, key: str) -> str | None:
        """The run of a workflow of this name that was started under this key, if it is still kept."""

    def count_runs(self, query: RunQuery) -> int:
        """The number of runs that a query asks for, whatever its limit."""

    def waiting_runs(self, seconds: float, cursor: str = "") -> tuple[list[str], str]:
        """A page of the runs, also unlisted ones, that wait in a mailbox and expire within ``seconds``; and the cursor
        of the next page, empty after the last one. A run that changes meanwhile may be missing, or come twice."""

    def list_run_as(self, run: str, state: str, before: str) -> None:
        """List a run under another state, if it is listed under the state ``before``."""
