"""``python -m canvas.as_celery``: runs a program in which ``celery`` is canvas."""

import os
import runpy
import sys
from collections.abc import Sequence

_USAGE = "usage: python -m canvas.as_celery (-m MODULE | FILE) [ARGUMENTS ...]"


def main(words: Sequence[str]) -> None:
    """Run a module (``-m MODULE``) or a file, as ``python`` does. Its child processes that import canvas have
    ``celery`` from canvas, too."""
    by_module = list(words[:1]) == ["-m"]
    program = list(words[1:] if by_module else words)
    if not program or program[0].startswith("-"):
        sys.exit(_USAGE)
    os.environ["CANVAS_AS_CELERY"] = "1"
    sys.argv = program
    # Python itself has put there the folder of this file, or the current one.
    sys.path[0] = os.getcwd() if by_module else os.path.dirname(os.path.abspath(program[0]))
    if by_module:
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
