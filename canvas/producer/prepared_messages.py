"""Messages of one task that differ in ids and arguments only: their form is written once, and filled in for each."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from canvas.errors import EncodeError
from canvas.model.compiled import TaskCall
from canvas.model.ids import Lineage
from canvas.model.message import EncodedMessage, Message, Publish
from canvas.model.workflow_run import RUN_HEADER, STAMP
from canvas.producer.routing import Route, Router
from canvas.task.task import ATTRIBUTE_OPTIONS, OF_SOME, Task
from canvas.text import FEW, PLAIN, short_repr
from canvas.wire.depth import LONG_TEXT, check_depth
from canvas.wire.task_message import embed_of, readable
from canvas.wire.typed_json import LazyArray, MemoEncoder, Written, dumps, dumps_known

if TYPE_CHECKING:
    from canvas.config.config import Config
    from canvas.drivers.ports.codec import FilledIn, MessageCodec

VARYING: Final = ("task_id", "root_id", "parent_id", "group_id", "group_index", "reply_to")
"""Options that each message of a form has a value of its own for."""
_REPRS: Final = ("argsrepr", "kwargsrepr")
_OF_NODES: Final = (RUN_HEADER, STAMP)
"""Options that only the nodes of workflows have, which have forms of their own."""
_MARKS: Final = {name: f"\x01{name}\x01" for name in (*VARYING, *_REPRS, *_OF_NODES)}
"""The texts that stand for them in a form."""
_LINKS: Final = frozenset({"chain", "link", "link_error"})
_OPEN: Final = frozenset({*VARYING, *_LINKS, "chord"})
_OPEN_OF_NODES: Final = _OPEN.union(_OF_NODES, ("stamped_headers",))
_PLAIN_NODE: Final = frozenset({"task_id", "ignore_result", "stamped_headers", RUN_HEADER, STAMP})
"""The options of most nodes."""
_FIXED: Final = frozenset({"queue", "exchange", "routing_key", "priority", "ignore_result", "time_limit",
                           "soft_time_limit", "delivery_mode", "serializer", "route_name", "retry", "add_to_parent",
                           "task_type"})  # fmt: skip
"""Options that all messages of a form have in common."""
_ATTRIBUTES: Final = _FIXED | {"compression", "expires"}
_STAMPED: Final = [STAMP]
_SIMPLE: Final = frozenset({str, int, float, bool})
NO_LINKS: Final = Written(b'{"callbacks":null,"errbacks":null,"chain":null,"chord":null}')
"""The embed of a message that nothing follows."""
Make = Callable[[TaskCall, Mapping[str, Any], Lineage], tuple[Message, Route]]
"""Makes a message in the general way, and routes it."""


def option_values(task: Task[Any]) -> tuple[Any, ...]:
    """The values of attributes that are options of its calls: they differ after a program has changed one."""
    own = task.__dict__
    # Each message that is sent passes: a task without such an attribute has no further calls.
    later = None if OF_SOME.isdisjoint(own) else [own.get(name) for name in OF_SOME]
    return task.option_values(task), later


class AttributeOptions:
    """The options that tasks' attributes give, kept until a program changes one of these."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[Any, ...], Mapping[str, Any]]] = {}

    def of(self, task: Task[Any]) -> Mapping[str, Any]:
        """As ``task.attribute_options()`` gives them; they are not to be changed."""
        if type(task).attribute_options is not ATTRIBUTE_OPTIONS:
            return task.attribute_options()
        name, values = task.name, option_values(task)
        kept = self._kept.get(name)
        if kept is None or kept[0] != values:
            kept = self._kept[name] = values, task.attribute_options()
        return kept[1]


class Form(NamedTuple):
    """The parts that messages of a task have in common."""

    defaults: Mapping[str, Any]
    """The options that the task's attributes give."""
    fixed: str
    """The options of the calls that are not their own, as text."""
    fill: "FilledIn | None"
    """Writes a message; ``None`` where there is no form for such calls."""
    publish: Publish
    """The address, without a payload."""


class PreparedMessages:
    """The forms of one app's messages, one for each task."""

    def __init__(self, conf: "Config", codec: "MessageCodec", router: Router, make: Make) -> None:
        self._codec = codec
        self._router = router
        self._make = make
        self._usable = not conf.task_compression and conf.task_serializer == "json" and conf.task_protocol == 2
        self._max_depth, self._max_bytes = conf.task_message_max_depth, conf.task_message_max_bytes
        self._levels = conf.task_repr_maxlevels
        self._made_for = ("", 0)
        """The header ``origin`` of the forms, and the version of the router that gave their addresses."""
        self._forms: dict[tuple[str, bool], Form] = {}
        self._chord: tuple[Written | None, Written] = (None, NO_LINKS)

    def written(
        self, call: TaskCall, defaults: Mapping[str, Any], lineage: Lineage, origin: str, replies: str,
        bodies: MemoEncoder | None,
    ) -> Publish | None:  # fmt: skip
        """The message of a call as the general way writes it; ``None`` where only that way can, or can say why not.

        ``origin``: the header; ``replies``: the ``reply_to`` of a call that has none."""
        options = call.options
        fixed, of_node = ("", False) if _OPEN.issuperset(options) else _fixed(options)
        form = self._forms.get((call.task, of_node))
        stale = self._made_for != (origin, self._router.version)
        if form is None or stale or form.fixed != fixed or form.defaults != defaults:
            form = self._form(call, defaults, fixed, origin, of_node)
        if form.fill is None or lineage.priority is not None:
            return None
        task_id, args = options.get("task_id"), call.args
        plain = len(args) < FEW and PLAIN.issuperset(map(type, args))  # ``short_repr`` looks at this too, in a call
        values = (
            task_id,
            options.get("root_id") or lineage.root_id or task_id,
            options.get("parent_id") or lineage.parent_id,
            options.get("group_id"),
            options.get("group_index"),
            options.get("reply_to") or replies,
            repr(args) if plain else short_repr(args, levels=self._levels),
            short_repr(call.kwargs, levels=self._levels) if call.kwargs else "{}",
            *((_written(options[RUN_HEADER]), options[STAMP]) if of_node else ()),
        )
        try:
            links: Any = self._chord_alone(options.get("chord"), bodies) if _LINKS.isdisjoint(options) else None
            if links is None:
                links = readable(embed_of(options, 2), "json", bodies)
            body = dumps((call.args, call.kwargs, links))
            # Links that are handed on unread are checked by the worker that reads them.
            deep = len(body) >= LONG_TEXT or body.count(b"[") + body.count(b"{") > self._max_depth
            if deep and not isinstance(options.get("chain"), LazyArray):
                check_depth(body, self._max_depth, EncodeError)
            payload = form.fill(body, values)
        except EncodeError:
            return None
        if type(task_id) is not str or (self._max_bytes and len(payload) > self._max_bytes):
            return None
        return Publish(*form.publish[:3], payload, form.publish.queue)

    def _chord_alone(self, chord: Any, bodies: MemoEncoder | None) -> Written:
        if chord is None:
            return NO_LINKS
        body = bodies.raw(chord) if bodies is not None else Written(dumps(chord))
        last, links = self._chord
        if last is not body:
            links = Written(b'{"callbacks":null,"errbacks":null,"chain":null,"chord":%b}' % bytes(body))
            self._chord = body, links
        return links

    def _form(self, call: TaskCall, defaults: Mapping[str, Any], fixed: str, origin: str, of_node: bool) -> Form:
        if self._made_for != (origin, self._router.version):
            self._forms, self._made_for = {}, (origin, self._router.version)
        fill, publish = None, Publish("", "", 0, b"")
        options = {**defaults, **{name: call.options[name] for name in call.options if name in _FIXED}}
        if self._usable and _has_form(options, fixed):
            names = (*VARYING, *_OF_NODES) if of_node else VARYING
            own = {name: _MARKS[name] for name in names} | ({"stamped_headers": _STAMPED} if of_node else {})
            marked = TaskCall(call.task, (), {}, {**options, **own})
            message, route = self._make(marked, marked.options, Lineage())
            message.headers.update((name, _MARKS[name]) for name in _REPRS)
            info, priority = message.properties["delivery_info"], message.properties.get("priority") or 0
            publish = Publish(info["exchange"], info["routing_key"], priority, b"", route.queue)
            marks = [_MARKS[name] for name in (*VARYING, *_REPRS, *(_OF_NODES if of_node else ()))]
            encoded = EncodedMessage(b"", "application/json", "utf-8", message.headers, message.properties)
            fill = self._codec.prepared(encoded, publish.exchange, publish.routing_key, marks)
        form = self._forms[call.task, of_node] = Form(dict(defaults), fixed, fill, publish)
        return form


def _fixed(options: Mapping[str, Any]) -> tuple[str, bool]:
    """The options that many calls have in common, as text, and whether the call is that of a workflow's node. The text
    is ``"?"`` for a call with other options."""
    # Operators take no calls: each node of a workflow passes.
    of_node = STAMP in options and RUN_HEADER in options and bool(options[RUN_HEADER])
    of_node = of_node and "stamped_headers" in options and options["stamped_headers"] == _STAMPED
    if of_node and options.keys() == _PLAIN_NODE and options["ignore_result"] is False:
        return "{'ignore_result': False}", True
    own = _OPEN_OF_NODES if of_node else _OPEN
    rest = {name: options[name] for name in options if name not in own}
    simple = _FIXED.issuperset(rest) and _SIMPLE.issuperset(map(type, rest.values()))
    return (repr(rest) if simple else "?"), of_node


def _written(header: Any) -> Any:
    """The header of a node, which is a list of text and numbers, as JSON; another one as it is."""
    return Written(dumps_known(header)) if _SIMPLE.issuperset(map(type, header)) else header


def _has_form(options: Mapping[str, Any], fixed: str) -> bool:
    return (
        fixed != "?"
        and options.get("expires") is None
        and not options.get("compression")
        and options.get("serializer") in (None, "json")
        and _ATTRIBUTES.issuperset(options)
        and _SIMPLE.issuperset(map(type, options.values()))
    )
