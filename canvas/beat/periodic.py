"""``app.add_periodic_task``: an entry of ``beat_schedule`` from a call."""

from typing import Any

from canvas.errors import CompositionError
from canvas.primitives.misuse import advice
from canvas.primitives.ports import SignatureApp
from canvas.primitives.registry import maybe_signature

_OF_THE_ENTRY = ("catch_up", "overlap", "relative")


def entry_fields(
    app: SignatureApp, schedule: Any, sig: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The name that an entry has without another, and its fields. Raises CompositionError."""
    entry = {"schedule": schedule, **{key: options.pop(key) for key in _OF_THE_ENTRY if key in options}}
    if not isinstance(sig, dict) and (callable(sig) or hasattr(sig, "entries")) and not hasattr(sig, "signature"):
        name = getattr(sig, "name", None) or getattr(sig, "__name__", repr(sig))
        return str(name), {**entry, "task": sig, "args": args, "kwargs": kwargs, "options": options}
    if not isinstance(sig, dict) and not hasattr(sig, "signature"):
        raise CompositionError(f"a periodic task takes a signature; got {sig!r:.100}{advice(sig)}")
    if isinstance(sig, type):  # the class of a task, as its on_bound gives it
        sig = app.signature(sig.name)  # type: ignore[attr-defined]
    made = maybe_signature(sig.s() if hasattr(sig, "signature") and not isinstance(sig, dict) else sig, app)
    made = made.clone(args, kwargs)
    if made.subtask_type is not None:
        return repr(made), {**entry, "task": made, "options": options}
    call = {"task": made.task, "args": made.args, "kwargs": made.kwargs, "options": {**made.options, **options}}
    return repr(made), {**entry, **call}
