"""A signature as the dict that messages carry (semantics.md W5)."""

from collections.abc import Sequence
from typing import Any


def signature_dict(
    task: str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    options: dict[str, Any],
    subtask_type: str | None = None,
    immutable: bool = False,
) -> dict[str, Any]:
    """The dict of a call of ``task``; ``subtask_type`` is that of a composite, such as ``"chain"``."""
    return {
        "task": task,
        "args": args,
        "kwargs": kwargs,
        "options": options,
        "subtask_type": subtask_type,
        "immutable": immutable,
    }
