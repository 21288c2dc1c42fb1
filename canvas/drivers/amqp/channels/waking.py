"""Waits for a broker, and ends such a wait from another thread."""

import os
import select

from canvas.drivers.amqp.channels.link import Link


class Wake:
    """A pipe that ends a wait."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        for end in (self.reading, self._writing):
            os.set_blocking(end, False)

    def set(self) -> None:
        try:
            os.write(self._writing, b"x")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def clear(self) -> bool:
        """Whether it was set."""
        try:
            return bool(os.read(self.reading, 4096))
        except BlockingIOError:
            return False


def readable(link: Link, wake: int, seconds: float) -> None:
    """Wait until the broker has sent something, ``wake`` can be read, or ``seconds`` have passed."""
    poll = select.poll()
    try:
        poll.register(link.fileno(), select.POLLIN)
        poll.register(wake, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)
    except (OSError, ValueError):
        return  # the link was lost to another thread, which its next use reports
