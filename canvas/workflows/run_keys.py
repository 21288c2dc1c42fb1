"""Keys of idempotent starts: the same workflow name and key give the same run."""

from collections.abc import Mapping, Sequence
from typing import Any

from canvas.caller_warnings import warn_caller
from canvas.errors import CompositionError, RunKeyMismatch
from canvas.model.workflow_run import RunNode
from canvas.workflows.steps.earlier_attempts import digest_of

MISMATCHES = ("warn", "error")
LONGEST_KEY = 256


def checked_key(key: Any, target: str) -> str:
    """The key of a run. Raises CompositionError for a value that is not a key, and for a run of Celery workers."""
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        raise CompositionError(f"run_key: expected text of 1 to {LONGEST_KEY} characters; got {key!r:.100}")
    if target == "celery":
        raise CompositionError(
            "run_key: Celery workers (target='celery') keep no record that the messages of a run are sent, so that a "
            "start cannot be repeated safely; run the workflow on canvas workers, or leave run_key out"
        )
    return key


def digest_of_nodes(nodes: Sequence[RunNode], serializer: str) -> str:
    """A digest of a graph and its arguments."""
    return digest_of(_sorted([node.as_list() for node in nodes]), serializer)


def _sorted(value: Any) -> Any:
    """The same value, its mappings in the order of their keys."""
    if isinstance(value, Mapping):
        return [[str(key), _sorted(value[key])] for key in sorted(value, key=str)]
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


def check_same(run: str, known: Mapping[str, Any], wanted: Mapping[str, Any], on_mismatch: str) -> None:
    """Warn if the run of a key was started with another graph or other arguments; with ``on_mismatch="error"`` raise
    RunKeyMismatch instead. ``known`` and ``wanted`` are the metadata of that run and of the start that found it."""
    if known.get("digest") == wanted.get("digest"):
        return
    text = (
        f"workflow {wanted['name']!r}: run {run} was started with run_key {wanted['run_key']!r} and another graph or "
        "other arguments; it is used as it is"
    )
    if on_mismatch == "error":
        raise RunKeyMismatch(text.partition(";")[0])
    warn_caller(text)
