"""The lines that beat logs; the wording of those that Celery has too is Celery's."""

import logging
from typing import Any

from canvas.beat.entries import Entry
from canvas.beat.state import EntryState
from canvas.schedules.base_schedule import humanized

logger = logging.getLogger("celery.beat")


def starting() -> None:
    logger.info("beat: Starting...")


def stopping() -> None:
    logger.info("beat: Shutting down...")


def sending(entry: Entry) -> None:
    logger.info("Scheduler: Sending due task %s (%s)", entry.name, entry.what)


def sent(entry: Entry, last: dict[str, Any]) -> None:
    found = last.get("run") or ", ".join(last.get("ids") or ())
    logger.debug("%s sent. id->%s", entry.what, found)


def taken(entry: Entry) -> None:
    logger.debug("beat: Another beat has sent the tick of %s", entry.name)


def left_out(entry: Entry, action: str, state: EntryState) -> None:
    if action == "skip":
        logger.info("Scheduler: Skipping %s (%s): its last run is not over", entry.name, entry.what)
    elif action == "wait":
        logger.info(
            "Scheduler: %s (%s) waits for its last run; %d waiting in all", entry.name, entry.what, state.waiting
        )
    elif action == "miss":
        logger.info("Scheduler: Missed %s (%s), and its catch_up is none", entry.name, entry.what)


def cancelling(entry: Entry) -> None:
    logger.info("Scheduler: Cancelling the last run of %s (%s), which is not over", entry.name, entry.what)


def not_sent(exc: object) -> None:
    logger.error("Message Error: %s", exc, exc_info=isinstance(exc, BaseException))


def not_computed(name: str, seconds: float) -> None:
    logger.exception("beat: Cannot calculate the next run of %r, trying again in %s.", name, humanized(seconds))


def refused_entry(exc: Exception) -> None:
    logger.error("beat: Leaving out an entry: %s", exc)


def unknown_task(name: str, task: str, near: str | None) -> None:
    hint = f"; did you mean {near!r}?" if near else ""
    logger.warning(
        "beat: Entry %r sends the task %r, which is not registered here%s. Import its module, or ignore this if "
        "workers have it", name, task, hint,
    )  # fmt: skip


def unfit_arguments(name: str, wrong: str) -> None:
    logger.warning("beat: Entry %r has arguments that do not fit, so that it cannot be sent: %s", name, wrong)


def no_interval(name: str, seconds: float) -> None:
    logger.warning("beat: Entry %r has an interval of %g seconds: beat sends it again without a pause", name, seconds)


def connection_lost(exc: Exception, seconds: float) -> None:
    logger.error("beat: Connection error: %s. Trying again in %s seconds...", exc, seconds)


def imported_state(count: int, path: str) -> None:
    logger.info("beat: Took over when %d entries ran last from %s", count, path)
