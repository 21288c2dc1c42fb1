"""The error of a wait for a run that has not ended in time: it names the nodes that the run waits for."""

from collections.abc import Callable

from canvas.errors import TimeoutError
from canvas.workflows.status import ENDED, WAITING, NodeStatus, RunStatus

_NODES = 200
"""Of a larger run the records of the nodes are not read."""
_NAMED = 5


def timeout_error(run: str, timeout: float | None, nodes: int, status: Callable[[], RunStatus]) -> TimeoutError:
    """``nodes``: the number of the run's nodes; ``status`` reads its status."""
    text = f"The operation timed out: run {run} has not ended after {timeout} s"
    waits: list[str] = []
    if nodes <= _NODES:
        try:
            found = status()
            if found.by_celery:
                return TimeoutError(f"{text}; {found.stop(_NAMED)}")
            waits = [_described(node) for node in found.nodes if node.state not in ENDED and node.state != WAITING]
        except Exception as exc:  # noqa: BLE001 - whatever a store raises, the wait has timed out
            return TimeoutError(f"{text}; the states of its nodes cannot be read: {exc}")
    if not waits:
        return TimeoutError(text)
    more = f" and {len(waits) - _NAMED} more" if len(waits) > _NAMED else ""
    return TimeoutError(f"{text}; it waits for {', '.join(waits[:_NAMED])}{more}")


def _described(node: NodeStatus) -> str:
    why = f": no worker has {node.task}" if node.task is not None else ""
    why = f": {node.signal}" if node.signal is not None else why
    return f"{node.name} ({node.state}{why})"
