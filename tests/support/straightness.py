"""How far one chain link travels through a worker, and one chord through a client: calls, files, changes of file.

``python -m tests.support.straightness BROKER BACKEND link|chord`` prints the three numbers as JSON. Only functions of
canvas count, on every thread. Of many links (or chords) the one with the fewest calls counts: periodic duties, and
rounds that a busy machine adds, only ever make the way of a link longer.
"""

import itertools
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

ROOT = str(Path(__file__).parent.parent.parent / "canvas")
_WAIT = "poll_briefly"
"""The function that polls for a reply, which may be there already."""
LINKS = 60
CHORDS = 12


class Route:
    """The functions that were called, in their order."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.windows: list[list[str]] = []
        self.functions: list[list[str]] = []

    def profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code.co_name == self.mark and not code.co_filename.startswith(ROOT):
            self.windows.append([])
            self.functions.append([])
        elif self.windows and code.co_filename.startswith(ROOT) and code.co_name != _WAIT:
            self.windows[-1].append(code.co_filename[len(ROOT) + 1 :])
            self.functions[-1].append(code.co_name)

    def start(self) -> None:
        threading.setprofile(self.profile)
        sys.setprofile(self.profile)

    def shortest(self) -> int:
        """The number of the window with the fewest calls; the first and the last ones are warm-up and end."""
        return min(range(5, len(self.windows) - 2), key=lambda number: len(self.windows[number]))

    def numbers(self) -> dict[str, int]:
        """Those of the shortest window."""
        window = self.windows[self.shortest()]
        switches = sum(a != b for a, b in itertools.pairwise(window))
        return {"calls": len(window), "files": len(set(window)), "switches": switches}

    def show(self) -> None:
        """The shortest window, as the functions it went through."""
        chosen = self.shortest()
        for file, function in zip(self.windows[chosen], self.functions[chosen], strict=True):
            sys.stderr.write(f"{file}:{function}\n")


def link(broker: str, backend: str) -> Route:
    """A worker with one slot runs a chain that is there when it starts, and ends after its last link."""
    os.environ.update(APP_LIBRARY="canvas", APP_BROKER=broker, APP_BACKEND=backend)
    from tests.support.apps import app

    route = Route("ident")
    ident = app.tasks["t.ident"]
    chain = ident.s(1)
    for _ in range(LINKS - 1):
        chain |= ident.s()
    result = chain.delay()

    def end() -> None:
        result.get(timeout=60)
        os.kill(os.getpid(), signal.SIGTERM)

    waiting = threading.Thread(target=end)
    waiting.start()
    route.start()
    try:
        app.worker_main(["worker", "-l", "ERROR", "-P", "solo", "--without-heartbeat"])
    except SystemExit:
        pass
    finally:
        threading.setprofile(None)
        sys.setprofile(None)
    waiting.join()
    return route


def chord(broker: str, backend: str) -> Route:
    """A client sends one small chord again and again."""
    from canvas import chord
    from tests.support.apps import make

    app = make("canvas", broker, backend)
    add, tsum = app.tasks["t.add"], app.tasks["t.tsum"]
    route = Route("mark")

    def mark() -> None:
        pass

    for number in range(CHORDS):
        composed = chord([add.s(1, number), add.s(2, 3)], tsum.s())
        route.start()
        mark()
        composed.delay()
        threading.setprofile(None)
        sys.setprofile(None)
    return route


if __name__ == "__main__":
    found = {"link": link, "chord": chord}[sys.argv[3]](*sys.argv[1:3])
    if len(sys.argv) > 4:
        found.show()
    print(json.dumps(found.numbers()))
