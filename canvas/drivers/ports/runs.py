"""The fields of workflows' runs."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from canvas.model.settlement import ReadyChord


class RunRecords(Protocol):
    """Runs of workflows, each a set of named fields."""

    def save_run(self, run: str, fields: Mapping[str, bytes], expires: int | None, created: float | None) -> None:
        """Keep fields of a workflow's run, for so many seconds from now; ``created`` (unix time) lists it."""

    def read_run(self, run: str, names: Sequence[str]) -> list[bytes | None]:
        """Fields of a run, in order."""

    def begin_attempt(
        self, run: str, attempt: int, fields: Mapping[str, bytes], expires: int | None, start: ReadyChord | None
    ) -> bool:
        """Count ``attempt`` on and set fields; False, and nothing is done, when another one is counted already.

        ``start`` is ready from then on, as a chord is whose parts are all in.
        """

    def expire_run(self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int) -> None:
        """Have a run, and these records, as far as they are there, expire after so many seconds; 0: never."""

    def read_mail(self, run: str) -> dict[str, list[bytes]]:
        """The values that wait in the mailboxes of a run, by mailbox, in the order in which they were posted."""

    def list_runs(self, limit: int) -> list[str]:
        """The ids of runs that are kept, the latest first."""
