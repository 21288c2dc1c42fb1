"""``celery.contrib.sphinx``: an extension of Sphinx that documents tasks as functions, with a prefix.

``automodule`` finds tasks, ``.. autotask::`` names one, and ``:task:`` refers to one.
"""

import inspect
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyFunction, PyXRefRole
from sphinx.ext.autodoc import FunctionDocumenter

from canvas.task.task import Task


def _is_task(member: Any) -> bool:
    return isinstance(member, Task) and bool(getattr(member, "__wrapped__", None))


class TaskDocumenter(FunctionDocumenter):  # type: ignore[misc]
    """Documents a task as the function that it wraps."""

    objtype = "task"
    member_order = 11

    @classmethod
    def can_document_member(cls, member: Any, membername: str, isattr: bool, parent: Any) -> bool:
        return _is_task(member)

    def format_args(self, **options: Any) -> str:
        """The arguments of its function, without the task that ``bind=True`` passes."""
        wrapped = getattr(self.object, "__wrapped__", None)
        if wrapped is None:
            return ""
        found = inspect.signature(wrapped)
        parameters = list(found.parameters.values())
        if "self" in found.parameters or "cls" in found.parameters:
            found = found.replace(parameters=parameters[1:])
        return str(found)

    def document_members(self, all_members: bool = False) -> None:
        """Nothing: a task is documented as a function."""

    def check_module(self) -> bool:
        """Whether the module defines the function of the task."""
        wrapped = getattr(self.object, "__wrapped__", None)
        return bool(getattr(wrapped, "__module__", None) == self.modname or super().check_module())


class TaskDirective(PyFunction):  # type: ignore[misc]
    """``.. py:task::``."""

    def get_signature_prefix(self, sig: str) -> list[Any]:
        return [nodes.Text(self.env.config.celery_task_prefix)]


def autodoc_skip_member_handler(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """False for a task that autodoc would skip because its class has the same docstring."""
    return False if skip and _is_task(obj) else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Set the extension up, for Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    if "autodoc_use_legacy_class_based" in app.config:
        # The documenter is a class of this kind, which Sphinx 9 uses on request only.
        app.config.autodoc_use_legacy_class_based = True
    app.add_autodocumenter(TaskDocumenter)
    app.add_directive_to_domain("py", "task", TaskDirective)
    app.add_role_to_domain("py", "task", PyXRefRole(fix_parens=True))
    app.add_config_value("celery_task_prefix", "(task)", True)
    app.connect("autodoc-skip-member", autodoc_skip_member_handler)
    return {"parallel_read_safe": True}
