"""``python -m canvas.as_celery``: runs a program in which ``celery`` is canvas."""

import os
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType

_USAGE = "usage: python -m canvas.as_celery (-m MODULE | -c CODE | FILE | -) [ARGUMENTS ...]"


def main(words: Sequence[str]) -> None:
    """Run a module (``-m MODULE``), code (``-c CODE``), a file, or standard input (``-``), as ``python`` does. Its
    child processes that import canvas have ``celery`` from canvas, too."""
    way = words[0] if words and words[0] in ("-m", "-c", "-") else ""
    program = list(words if way in ("", "-") else words[1:])
    if not program or (program[0].startswith("-") and way not in ("-c", "-")):
        sys.exit(_USAGE)
    os.environ["CANVAS_AS_CELERY"] = "1"
    sys.argv = program
    # Python itself has put there the folder of this file, or the current one.
    sys.path[0] = (
        os.getcwd() if way == "-m" else "" if way in ("-c", "-") else os.path.dirname(os.path.abspath(program[0]))
    )
    if way == "-m":
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    elif way:
        code, name = (program[0], "<string>") if way == "-c" else (sys.stdin.read(), "<stdin>")
        sys.argv = [way, *program[1:]]
        # A module of its own, in which pickled classes and functions are found.
        main_module = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(code, name, "exec"), vars(main_module))
    else:
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
