"""The lines of a worker's log about other workers that it has found at its start."""

import logging
from typing import Any

from canvas.text import first_of

_worker = logging.getLogger("celery.worker")


def same_name(hostname: str, **_: Any) -> None:
    """Another worker has this one's name."""
    _worker.warning(
        "Another worker has the node name %s too: remote control cannot tell the two apart; start each with a name of "
        "its own (-n)",
        hostname,
    )


def beside_celery(workers: dict[str, list[str]], runs: int, **_: Any) -> None:
    """Celery workers consume queues of this one, which matters to workflows: it is a warning if there are runs."""
    who = first_of(sorted(workers))
    who = f"The Celery worker {who} consumes" if len(workers) == 1 else f"The Celery workers {who} consume"
    queues = first_of(sorted({one for shared in workers.values() for one in shared}))
    takers = "it takes" if len(workers) == 1 else "they take"
    text = "%s %s too: runs of workflows stop at nodes whose tasks %s"
    _worker.log(logging.WARNING if runs else logging.INFO, text, who, queues, takers)
