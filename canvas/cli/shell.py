"""``canvas shell``: a Python prompt with the app and its tasks at hand."""

import code
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

import canvas

_NAMES = ("chain", "chord", "group", "chunks", "xmap", "xstarmap", "signature", "subtask", "Task")


@click.command()
@click.option("-I", "--ipython", "kind", flag_value="ipython", help="IPython, which must be installed.")
@click.option("-B", "--bpython", "kind", flag_value="bpython", help="bpython, which must be installed.")
@click.option("-P", "--python", "kind", flag_value="python", help="The prompt of plain Python.")
@click.option("-T", "--without-tasks", is_flag=True, help="Leave the app's tasks out of the names.")
@click.pass_obj
def shell(obj: Any, /, kind: str | None, without_tasks: bool) -> None:
    """A Python prompt with ``app`` (``celery`` is it, too), its tasks by the names of their functions, ``chain``,
    ``group``, ``chord`` and their like as names."""
    app = obj.app
    app.import_task_modules()
    names: dict[str, Any] = dict.fromkeys(("app", "canvas", "celery"), app)
    names.update({name: getattr(canvas, name) for name in _NAMES})
    if not without_tasks:
        names.update({task.__name__: task for task in app.tasks.regular().values()})
    kind = kind or next((found for found in ("ipython", "bpython") if find_spec(_MODULES[found])), "python")
    if kind != "python" and find_spec(_MODULES[kind]) is None:
        raise click.UsageError(f"{kind} is not installed; install it, or use --python")
    _STARTS[kind](names)


def _python(names: dict[str, Any]) -> None:
    if find_spec("readline") is not None:
        completer = import_module("rlcompleter").Completer(names)
        readline = import_module("readline")
        readline.set_completer(completer.complete)
        readline.parse_and_bind("tab:complete")
    code.interact(banner=f"canvas {canvas.__version__}: app, {', '.join(_NAMES)}", local=names)


def _ipython(names: dict[str, Any]) -> None:
    import_module("IPython").start_ipython(argv=[], user_ns=names)


def _bpython(names: dict[str, Any]) -> None:
    import_module("bpython").embed(names)


_MODULES = {"ipython": "IPython", "bpython": "bpython"}
_STARTS = {"python": _python, "ipython": _ipython, "bpython": _bpython}
