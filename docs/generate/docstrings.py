"""An extension of griffe: docstrings as the site can render them."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
SHARED_TEXT = re.compile(r"^( +)((?:\w+, )+\w+): (.*)$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Puts a fence around each example, because Markdown takes ``>>>`` for a quotation, and gives a line to each of the
    parameters that share one."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute that is read."""
        if obj.docstring is None:
            return
        names = parameters(obj)

        def divided(found: re.Match[str]) -> str:
            shared = found[2].split(", ")
            return (
                "\n".join(f"{found[1]}{name}: {found[3]}" for name in shared) if names.issuperset(shared) else found[0]
            )

        text = EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
        obj.docstring.value = SHARED_TEXT.sub(divided, text)


def parameters(obj: griffe.Object) -> set[str]:
    """The names of the parameters of a function, or of a class."""
    called = obj.members.get("__init__") if obj.is_class else obj
    return {one.name for one in called.parameters} if isinstance(called, griffe.Function) else set()
