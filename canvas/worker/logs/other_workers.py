"""The lines of a worker's log about other workers that it has found at its start."""

import logging
from typing import Any

_worker = logging.getLogger("celery.worker")


def same_name(hostname: str, **_: Any) -> None:
    """Another worker has this one's name."""
    _worker.warning(
        "Another worker has the node name %s too: remote control cannot tell the two apart; start each with a name of "
        "its own (-n)",
        hostname,
    )


def beside_celery(hostname: str, queues: list[str], **_: Any) -> None:
    """A Celery worker consumes queues of this one."""
    text = "The Celery worker %s consumes %s too: runs of workflows stop at nodes whose tasks it takes"
    _worker.warning(text, hostname, ", ".join(queues))
