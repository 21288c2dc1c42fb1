"""``canvas shell``: a Python prompt with the app and its tasks at hand."""

import code
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

import canvas

_NAMES = ("chain", "chord", "group", "chunks", "xmap", "xstarmap", "signature")


@click.command()
@click.option("-I", "--ipython", "kind", flag_value="ipython", help="IPython, which must be installed.")
@click.option("-B", "--bpython", "kind", flag_value="bpython", help="bpython, which must be installed.")
@click.option("-P", "--python", "kind", flag_value="python", help="Plain Python.")
@click.option("-T", "--without-tasks", is_flag=True, help="Leave the app's tasks out of the names.")
@click.pass_obj
def shell(obj: Any, /, kind: str | None, without_tasks: bool) -> None:
    """A Python prompt with ``app``, its tasks, ``chain``, ``group``, ``chord`` and their like as names."""
    app = obj.app
    app.import_task_modules()
    names: dict[str, Any] = {"app": app, "canvas": app, **{name: getattr(canvas, name) for name in _NAMES}}
    if not without_tasks:
        names.update({name.rpartition(".")[2]: task for name, task in app.tasks.regular().items()})
    kind = kind or next((found for found in ("ipython", "bpython") if find_spec(_MODULES[found])), "python")
    if kind != "python" and find_spec(_MODULES[kind]) is None:
        raise click.UsageError(f"{kind} is not installed; install it, or use --python")
    _STARTS[kind](names)


def _python(names: dict[str, Any]) -> None:
    code.interact(banner=f"canvas {canvas.__version__}: app, {', '.join(_NAMES)}", local=names)


def _ipython(names: dict[str, Any]) -> None:
    import_module("IPython").start_ipython(argv=[], user_ns=names)


def _bpython(names: dict[str, Any]) -> None:
    import_module("bpython").embed(names)


_MODULES = {"ipython": "IPython", "bpython": "bpython"}
_STARTS = {"python": _python, "ipython": _ipython, "bpython": _bpython}
