"""Names of nodes, and of the files that are named after them."""

import re
import socket

from canvas.errors import ConfigurationError

_PATTERN = re.compile(r"%([%\w])")
_DEFAULT = "celery"


def node_name(template: str | None) -> str:
    """``name@host`` as Celery makes it: the part before ``@`` is the name, else the whole is the host.

    ``%h`` is the machine's host name, ``%n`` its first part, ``%d`` its domain. Raises ConfigurationError for
    other patterns.
    """
    name, at, host = (template or "").partition("@")
    if not at:
        name, host = "", name
    machine = socket.gethostname()
    return _expand(f"{name or _DEFAULT}@{host or machine}", machine, machine.partition(".")[0], machine, 0)


def file_name(pattern: str, hostname: str, child: int = 0) -> str:
    """The name of a log or pid file of the node ``hostname``, as Celery expands it.

    ``%n`` is the node's name before ``@``, ``%h`` its host, ``%d`` the host's domain, ``%p`` both, ``%i`` the number of
    the pool's process (0 for the first process of the node), ``%I`` that number after a ``-`` (nothing for the first
    process), ``%%`` a percent sign. Raises ConfigurationError for other patterns.
    """
    name, _, host = hostname.partition("@")
    return _expand(pattern, host, name, hostname, child)


def names_each_process(pattern: str) -> bool:
    """Whether each process of a node has a file of its own by this pattern."""
    return any(key in "iI" for key in _PATTERN.findall(pattern))


def _expand(text: str, host: str, name: str, whole: str, child: int) -> str:
    keys = {
        "h": host,
        "n": name,
        "d": host.partition(".")[2],
        "p": whole,
        "i": str(child),
        "I": f"-{child}" if child else "",
        "%": "%",
    }

    def resolve(found: re.Match[str]) -> str:
        key = found[1]
        if key not in keys:
            raise ConfigurationError(f"{text!r}: unknown pattern %{key}; expected one of %n %h %d %p %i %I, or %%")
        return keys[key]

    return _PATTERN.sub(resolve, text)
