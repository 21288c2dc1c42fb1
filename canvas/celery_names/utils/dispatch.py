"""Names of ``celery.utils.dispatch``: signals that a program makes."""

from typing import Any

from canvas.signals.signal import Signal as CanvasSignal


class Signal(CanvasSignal):
    """A signal that the program's own ``send`` sends."""

    def __init__(self, providing_args: Any = None, use_caching: bool = False, name: str | None = None) -> None:
        """``providing_args``: the names of its arguments, for readers. ``use_caching`` has no effect."""
        super().__init__(name or "signal")
        self.providing_args = set(providing_args or ())
