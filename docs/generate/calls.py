"""The tables of the options of calls and of tasks."""

import ast
import inspect
from textwrap import dedent

from canvas.model.call_options import OPTIONS, OTHER_OPTIONS
from canvas.task.attributes import FROM_CONFIG, TaskOptions
from docs.generate.markdown import code, prose, table

INTERNAL = "Internal:"
NOT_OPTIONS = {"name", "abstract", "takes_itself", "pydantic_models", "Request", "Strategy"}
"""Attributes of tasks that do not set how they run."""


def call_options() -> str:
    """Each option of ``apply_async`` that a program may give."""
    known = {option.name: option.effect for option in OPTIONS if not option.effect.startswith(INTERNAL)}
    rows = [(code(name), effect) for name, effect in {**known, **OTHER_OPTIONS}.items()]
    return table(("Option", "Effect"), rows)


def attributes() -> dict[str, tuple[str, str]]:
    """The default and the description of each attribute that ``@app.task`` may set."""
    body = ast.parse(dedent(inspect.getsource(TaskOptions))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for statement, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            name = statement.target.id
            documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            text = str(after.value.value) if documented else ""  # type: ignore[union-attr]
            found[name] = (ast.unparse(statement.value), prose(text))
    return found


def task_options() -> str:
    """Each option of ``@app.task``, with its default or the setting that gives it."""
    rows = []
    for name, (default, text) in attributes().items():
        shown = f"the setting {code(FROM_CONFIG[name])}" if name in FROM_CONFIG else code(default)
        if name not in NOT_OPTIONS:
            rows.append((code(name), shown.replace("`from_settings()`", "as the app's"), text))
    return table(("Option", "Default", "Effect"), rows)
