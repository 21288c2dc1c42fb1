"""The signatures that a message carries: its callbacks, its chain, its chord's body, and theirs."""

from collections.abc import Iterator, Mapping
from typing import Any

from canvas.errors import EncodeError
from canvas.model.message import LINKS_HEADER, EncodedMessage
from canvas.primitives.fields import as_list
from canvas.wire import codecs

_PLAIN = ("task_id", "group_id", "group_index", "root_id", "parent_id", "queue", "canvas_run")
"""Options of a signature that it needs to fail."""


def embedded_signatures(options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every signature in wire form that a message's options carry, at any depth; each once."""
    pending = [sig for name in ("chain", "chord", "link", "link_error") for sig in as_list(options.get(name))]
    seen: set[int] = set()
    while pending:
        sig = pending.pop()
        if not isinstance(sig, Mapping) or id(sig) in seen:
            continue
        seen.add(id(sig))
        yield sig
        kwargs = sig.get("kwargs") or {}
        if sig.get("subtask_type"):
            pending += [*as_list(kwargs.get("tasks")), *as_list(kwargs.get("header")), *as_list(kwargs.get("body"))]
        pending += [s for name in ("chain", "chord", "link", "link_error") for s in as_list(sig["options"].get(name))]


def with_links(message: EncodedMessage, embed: Mapping[str, Any]) -> EncodedMessage:
    """A message that names its links in its headers too, so that a worker which cannot read the body ends the chord,
    the chain and the error callbacks of the task."""
    if not any(embed.values()):
        return message
    try:
        _, _, text = codecs.encode(dict(embed), "json")
    except EncodeError:
        bare = {name: _without_values(links) for name, links in embed.items()}
        _, _, text = codecs.encode(bare, "json")
    return message._replace(headers={**message.headers, LINKS_HEADER: text.decode()})


def _without_values(links: Any) -> Any:
    """Signatures without their arguments, which JSON cannot carry: enough for them to fail."""
    if isinstance(links, Mapping):
        options = links.get("options") or {}
        kept = {name: _without_values(options[name]) for name in ("link_error", "chord") if options.get(name)}
        plain = {name: options[name] for name in _PLAIN if name in options and codecs.can_write(options[name], "json")}
        immutable = bool(links.get("immutable"))
        return {
            "task": links.get("task"),
            "args": [],
            "kwargs": {},
            "options": {**plain, **kept},
            "immutable": immutable,
        }
    return [_without_values(one) for one in links] if isinstance(links, list | tuple) else None
