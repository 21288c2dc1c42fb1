"""The table of errors."""

import inspect

import canvas.errors
from docs.generate.markdown import code, prose, table

OWN = {"builtins", canvas.errors.__name__}
"""Modules whose classes are named as bases. kombu's are bases too, in programs that load kombu."""


def classes() -> dict[str, type[BaseException]]:
    """The exceptions of ``canvas.errors``, in their order."""
    found = vars(canvas.errors).items()
    return {name: kind for name, kind in found if inspect.isclass(kind) and issubclass(kind, canvas.errors.CanvasError)}


def errors() -> str:
    """Each exception, its bases, and what it means."""
    rows = []
    for name, kind in classes().items():
        bases = ", ".join(code(base.__name__) for base in kind.__bases__ if base.__module__ in OWN)
        rows.append((code(name), bases, prose((kind.__doc__ or "").partition("\n\n")[0])))
    return table(("Error", "Is also", "Meaning"), rows)
