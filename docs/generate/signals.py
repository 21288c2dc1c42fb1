"""The table of signals."""

import ast
import inspect
from unittest.mock import MagicMock

import canvas.signals
from canvas.errors import Retry
from canvas.model.outcome import Failure, Retried, Revoked, Success
from canvas.signals.signal import Signal
from canvas.signals.translations import plain
from docs.generate.markdown import code, prose, table

OUTCOMES = {
    "task_success": Success(MagicMock()),
    "task_failure": Failure(ValueError(), None),
    "task_retry": Retried(Retry(), ""),
    "task_revoked": Revoked("expired"),
}


class Facts(dict[str, object]):
    """Facts of an event, of which each is there."""

    def __missing__(self, _name: str) -> object:
        return MagicMock()

    def get(self, name: str, _default: object = None) -> object:  # type: ignore[override]
        return self[name]


def descriptions() -> dict[str, str]:
    """The text below each signal in ``canvas.signals``."""
    body = ast.parse(inspect.getsource(canvas.signals)).body
    found = {}
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            found[statement.targets[0].id] = prose(str(text))
    return found


def arguments(name: str, signal: Signal) -> list[str]:
    """The keyword arguments of a signal's receivers, as its translation makes them."""
    if signal._translate is plain:
        return []
    facts = Facts(outcome=OUTCOMES.get(name, Success(None)), how="warm", exc=ValueError())
    sending = signal._translate(facts)
    given = {} if sending is None else sending[1]
    return list(given)


def sent() -> str:
    """The signals that canvas sends, their arguments, and when each is sent."""
    rows = []
    for name, text in descriptions().items():
        if text:
            names = arguments(name, getattr(canvas.signals, name))
            rows.append((code(name), ", ".join(map(code, names)), text))
    return table(("Signal", "Arguments", "Sent when"), rows)
