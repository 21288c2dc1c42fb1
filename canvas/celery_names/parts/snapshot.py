"""Cameras (``celery.events.snapshot``): functions that look at ``app.events.State`` at intervals."""

import logging
import time
from typing import Any

from canvas.app.application import Canvas
from canvas.celery_names.parts.apps import app_or_default
from canvas.celery_names.utils.imports import instantiate
from canvas.celery_names.utils.times import rate
from canvas.remote.cluster_state import State
from canvas.signals.signal import Signal
from canvas.worker.extending.timer import Entry, Timer
from canvas.worker.process_files import ProcessFiles

_log = logging.getLogger("celery.evcam")


class Polaroid:
    """A camera: subclasses define ``on_shutter``, which is called with the state every ``freq`` seconds."""

    timer: Timer | None = None
    shutter_signal = Signal("shutter_signal")
    cleanup_signal = Signal("cleanup_signal")
    clear_after = False
    """Whether the state is cleared after each picture."""

    def __init__(
        self, state: State, freq: float = 1.0, maxrate: Any = None, cleanup_freq: float = 3600.0,
        timer: Timer | None = None, app: Canvas | None = None,
    ) -> None:  # fmt: skip
        """``freq``, ``cleanup_freq``: seconds between two pictures, and between two clean-ups; ``maxrate``: the most
        pictures in a time, such as ``10/m``."""
        self.app = app_or_default(app)
        self.state = state
        self.freq, self.cleanup_freq = freq, cleanup_freq
        self.timer = timer or self.timer or Timer()
        self._pause = 1 / rate(maxrate) if rate(maxrate) else 0.0
        self._next = 0.0
        self._entries: list[Entry] = []

    def install(self) -> None:
        """Take pictures from now on."""
        assert self.timer is not None
        self._entries = [
            self.timer.call_repeatedly(self.freq, self.capture),
            self.timer.call_repeatedly(self.cleanup_freq, self.cleanup),
        ]

    def on_shutter(self, state: State) -> None:
        """Override it: a picture is taken."""

    def on_cleanup(self) -> None:
        """Override it: old pictures may be deleted."""

    def cleanup(self) -> None:
        _log.debug("Cleanup: Running...")
        self.cleanup_signal.send(sender=self.state)
        self.on_cleanup()

    def shutter(self) -> None:
        """Take a picture, unless ``maxrate`` forbids it."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._pause
        _log.debug("Shutter: %s", self.state)
        self.shutter_signal.send(sender=self.state)
        self.on_shutter(self.state)

    def capture(self) -> None:
        self.state.freeze_while(self.shutter, clear_after=self.clear_after)

    def cancel(self) -> None:
        """Take the last picture, and end."""
        if self._entries:
            self._entries[0]()
        for entry in self._entries:
            entry.cancel()

    def __enter__(self) -> "Polaroid":
        self.install()
        return self

    def __exit__(self, *exc: object) -> None:
        self.cancel()


def evcam(
    camera: Any, freq: float = 1.0, maxrate: Any = None, loglevel: int | str = 0, logfile: str | None = None,
    pidfile: str | None = None, timer: Timer | None = None, app: Canvas | None = None, **options: Any,
) -> None:  # fmt: skip
    """Read events, and have ``camera`` (a class, or its path) take pictures, until interrupted."""
    app = app_or_default(app)
    files = ProcessFiles(pidfile)
    files.acquire()
    app.log.setup_logging_subsystem(loglevel, logfile)
    state = app.events.State()
    picture = instantiate(camera, state, app=app, freq=freq, maxrate=maxrate, timer=timer)
    try:
        with picture:
            app.events.Receiver(handlers={"*": state.event}).capture()
    except KeyboardInterrupt:
        raise SystemExit from None
    finally:
        files.remove()
