"""The options of calls: every name that ``apply_async`` knows, and the part of a workflow that takes it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from canvas.model.workflow_run import RUN_HEADER


class Option(NamedTuple):
    """One option of a call."""

    name: str
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
    Option("task_id", header=False, body=False, last_step=True),
    Option("group_id", header=False, last_step=True),
    Option("chord", header=False, body=False, last_step=True),
    Option("group_index", header=False, last_step=True),
    Option(RUN_HEADER, header=False, last_step=True),
    Option("root_id"),
    Option("parent_id", body=False),
    Option("reply_to", header=False),
    Option("correlation_id"),
    Option("origin"),
    Option("add_to_parent"),
    # tasks that follow
    Option("link", header=False, body=False),
    Option("link_error", header=False, body=False),
    Option("chain", header=False, body=False),
    Option("use_link"),
    # address
    Option("queue", attribute=True),
    Option("routing_key", attribute=True),
    Option("exchange", attribute=True),
    Option("exchange_type"),
    Option("priority", attribute=True),
    Option("route_name"),
    Option("router"),
    # time
    Option("countdown", body=False),
    Option("eta", body=False),
    Option("expires", attribute=True),
    # the message
    Option("serializer", attribute=True),
    Option("delivery_mode", attribute=True),
    Option("compression", attribute=True),
    Option("headers"),
    Option("shadow"),
    Option("stamped_headers"),
    Option("immediate"),
    Option("mandatory"),
    # running it
    Option("time_limit", attribute=True),
    Option("soft_time_limit", attribute=True),
    Option("retries"),
    Option("ignore_result"),
    Option("replaced_task_nesting"),
    Option("task_type"),
    # sending it
    Option("retry"),
    Option("retry_policy"),
    Option("producer"),
    Option("publisher"),
    Option("connection"),
    Option("result_cls"),
)

HEADER_LACKS: Final = frozenset(option.name for option in OPTIONS if not option.header)
BODY_LACKS: Final = frozenset(option.name for option in OPTIONS if not option.body)
LAST_STEP: Final = tuple(option.name for option in OPTIONS if option.last_step)
ATTRIBUTES: Final = tuple(option.name for option in OPTIONS if option.attribute)
NAMES: Final = frozenset(option.name for option in OPTIONS)
"""An option of another name travels as a property of the message."""


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that have a value: an option of ``None`` counts as not given."""
    return {name: value for name, value in options.items() if value is not None}
