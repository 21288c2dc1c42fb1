"""The texts of the Lua scripts, each with the modules that it uses."""

from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha1
from pkgutil import get_data

_CONTEXT = "context"
"""The module that the others share. Its text comes first, unchanged."""
_USES = "-- Uses: "


@cache
def script(name: str) -> tuple[str, str]:
    """A script's text with the modules that it uses in front, and its SHA-1."""
    main = _file(name)
    modules: dict[str, str] = {}
    for module in _uses(main):
        _add(module, modules)
    context = [modules.pop(_CONTEXT)] if _CONTEXT in modules else []
    text = "\n".join([*context, *([_use(modules)] if modules else []), main])
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


def _add(module: str, modules: dict[str, str]) -> None:
    """Add a module and those that it uses itself."""
    if module not in modules:
        modules[module] = text = _file(f"library/{module}")
        for used in _uses(text):
            _add(used, modules)


def _use(modules: Mapping[str, str]) -> str:
    """The Lua function ``use``, which returns a module's table by its name, and makes its functions at the first use.
    To make those of all modules, in every run of a script, takes Redis as long as to settle a task."""
    makers = "\n".join(
        f"if name == '{module}' then make = function()\n{text}\nend end" for module, text in modules.items()
    )
    return f"""local made = {{}}
local function use(name)
if not made[name] then
local make
{makers}
made[name] = make()
end
return made[name]
end"""


def _uses(text: str) -> Iterator[str]:
    """The modules that the header of a script or a module names."""
    header = text.partition("\n\n")[0]
    for line in header.splitlines():
        if line.startswith(_USES):
            yield from line.removeprefix(_USES).split(", ")


def _file(name: str) -> str:
    # importlib.resources takes longer to load than all else that the first call needs.
    data = get_data("canvas.drivers.redis.scripts", f"{name}.lua")
    assert data is not None
    return data.decode()
