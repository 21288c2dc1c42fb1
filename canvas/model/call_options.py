"""The options of calls: every name that ``apply_async`` knows, and the part of a workflow that takes it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from canvas.model.workflow_run import RUN_HEADER


class Option(NamedTuple):
    """One option of a call."""

    name: str
    effect: str
    """Its line in the reference."""
    header: bool = True
    """Whether the header of a chord takes it from the chord (semantics.md H11)."""
    body: bool = True
    """Whether the body of a chord takes it from the chord."""
    last_step: bool = False
    """Whether a chain gives it to its last step (semantics.md C3)."""
    attribute: bool = False
    """Whether a task's attribute of that name is its default."""


OPTIONS: Final = (
    # identity and lineage
    Option("task_id", "The task's id. Default: a new UUID.", header=False, body=False, last_step=True),
    Option("group_id", "Internal: the group that the task is a member of.", header=False, last_step=True),
    Option(
        "chord",
        "Internal: the body of its chord.",
        header=False,
        body=False,
        last_step=True,
    ),
    Option("group_index", "Internal: its place in the group.", header=False, last_step=True),
    Option(RUN_HEADER, "Internal: the node of a workflow's run.", header=False, last_step=True),
    Option("root_id", "The first task of the workflow. Default: that of the task that sends it."),
    Option("parent_id", "The task that sends it. Default: the running task.", body=False),
    Option("reply_to", "Accepted; results are in the result backend.", header=False),
    Option("correlation_id", "Default: the task's id."),
    Option("origin", "The name of the sender. Default: `gen<process id>@<host>`."),
    Option("add_to_parent", "Whether the result is a child of the running task. Default: true."),
    # tasks that follow
    Option("link", "A signature, or a list of them, called with the result.", header=False, body=False),
    Option("link_error", "A signature, or a list of them, called when the task fails.", header=False, body=False),
    Option("chain", "Internal: the rest of the chain, last step first.", header=False, body=False),
    Option("use_link", "Accepted, as in Celery."),
    # address
    Option("queue", "A name or a `Queue`. Default: the route's, then `task_default_queue`.", attribute=True),
    Option("routing_key", "The routing key. Default: the queue's.", attribute=True),
    Option("exchange", "The exchange. Default: the queue's.", attribute=True),
    Option("exchange_type", "The type of an exchange that is not declared."),
    Option(
        "priority",
        "0 to 9, or 255 on RabbitMQ; others count as the nearest one. Redis serves 0 first, RabbitMQ the highest.",
        attribute=True,
    ),
    Option("route_name", "The name by which routes are looked up. Default: the task's."),
    Option("router", "Accepted, and ignored with a warning."),
    # time
    Option("countdown", "Seconds from now until the task may start.", body=False),
    Option("eta", "A datetime, or ISO 8601 text: the earliest start. Without an offset it is UTC.", body=False),
    Option("expires", "Seconds, or a datetime: a task that has not started by then is REVOKED.", attribute=True),
    # the message
    Option("serializer", "`json`, `msgpack`, `yaml` or `pickle`. Default: `task_serializer`.", attribute=True),
    Option("delivery_mode", "RabbitMQ: 1 transient, 2 persistent.", attribute=True),
    Option("compression", "`gzip`, `bzip2`, `lzma`, `brotli` or `zstd`. Default: `task_compression`.", attribute=True),
    Option("headers", "Further headers of the message, which `task.request.headers` shows."),
    Option("shadow", "Another name of the task in logs and monitors."),
    Option("stamped_headers", "The names of the headers that are stamps: they travel to all tasks that follow."),
    Option("immediate", "Accepted; has no effect."),
    Option("mandatory", "Accepted; has no effect."),
    # running it
    Option("time_limit", "The hard limit in seconds. Default: the task's, then `task_time_limit`.", attribute=True),
    Option(
        "soft_time_limit",
        "The soft limit in seconds. Default: the task's, then `task_soft_time_limit`.",
        attribute=True,
    ),
    Option("retries", "How often the task has been retried before."),
    Option("ignore_result", "Whether the result is not stored. Default: the task's, then `task_ignore_result`."),
    Option("replaced_task_nesting", "Internal: how often the task has replaced itself."),
    Option("task_type", "The task's object, if its name alone is given."),
    # sending it
    Option("retry", "Whether sending is tried again when the broker does not answer. Default: `task_publish_retry`."),
    Option("retry_policy", "How sending is tried again: a dict as in `task_publish_retry_policy`."),
    Option("producer", "Accepted, and ignored with a warning."),
    Option("publisher", "Accepted, and ignored with a warning."),
    Option("connection", "Accepted, and ignored with a warning."),
    Option("result_cls", "Accepted, and ignored with a warning."),
)

HEADER_LACKS: Final = frozenset(option.name for option in OPTIONS if not option.header)
BODY_LACKS: Final = frozenset(option.name for option in OPTIONS if not option.body)
LAST_STEP: Final = tuple(option.name for option in OPTIONS if option.last_step)
ATTRIBUTES: Final = tuple(option.name for option in OPTIONS if option.attribute)
NAMES: Final = frozenset(option.name for option in OPTIONS)
"""An option of another name travels as a property of the message."""
OTHER_OPTIONS: Final = {
    "acks_late": "Whether the message is acknowledged with the result or before the task starts. Default: the task's.",
    "argsrepr": "The text that logs and events show instead of the positional arguments.",
    "kwargsrepr": "The same for the keyword arguments.",
    "throw": "With `task_always_eager`: raise the task's exception in the caller.",
}
"""Options of ``apply_async`` that messages carry in fields of their own."""
KNOWN: Final = NAMES | frozenset(OTHER_OPTIONS) | {
    "content_type", "content_encoding", "message_id", "user_id",
    "app_id", "cluster_id", "timestamp", "type", "expiration", "declare", "timeout", "confirm_timeout", "on_return",
    "periodic_task_name", "ignore_errors", "store_errors", "stamps", "visitor", "body", "interval", "max_retries",
    "is_eager", "args", "kwargs",
}  # fmt: skip
"""Options of ``apply_async``, of canvas, of Celery, and of kombu's ``publish``."""


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that have a value: an option of ``None`` counts as not given."""
    return {name: value for name, value in options.items() if value is not None}


def unset(options: Mapping[str, Any]) -> dict[str, None]:
    """The options of a task's own call that are ``None``, and so replace the task's attributes of their names."""
    return {name: None for name, value in options.items() if value is None and name in _UNSET}


OMITTED: Final[Any] = type("Omitted", (), {"__repr__": lambda self: "..."})()
"""The default of a parameter whose ``None`` means something."""
_UNSET: Final = frozenset({*ATTRIBUTES, "ignore_result"})
