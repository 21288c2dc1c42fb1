"""How the tables of names are written."""

from typing import TypeAlias

Members: TypeAlias = dict[str, str]
"""The names of a module, and the place of each: ``module:attribute``."""
PARTS = "canvas.celery_names.parts"
UTILS = "canvas.celery_names.utils"


def of(module: str, names: str) -> Members:
    """The places of ``names``, which ``module`` has."""
    return {name: f"{module}:{name}" for name in names.split()}
