"""The nodes of a workflow as the user has composed them."""

from dataclasses import dataclass, field
from typing import Any

from canvas.model.workflow_run import Edge, InputBinding, Kind, When


@dataclass(slots=True)
class IncomingEdge:
    """A parent of a node: its place among the entries, the kind of the edge, the arm of a branch that it comes from."""

    number: int
    edge: Edge
    arm: int | None = None


@dataclass(slots=True)
class NodeDefinition:
    """One node."""

    name: str
    kind: Kind
    sig: dict[str, Any] | None = None
    """Its signature in wire form; it has ``None`` where ``binds`` puts inputs."""
    binds: list[InputBinding] = field(default_factory=list)
    """The inputs; the slot of each is an index in ``sources``."""
    sources: list[IncomingEdge] = field(default_factory=list)
    continue_on_failure: bool = False
    default: Any = None
    compensate: dict[str, Any] | None = None
    choices: list[Any] = field(default_factory=list)
    hidden: bool = False
    depth: int = 1
    when: When = "all_success"
    limit: float | None = None
    always: bool = False
    details: dict[str, Any] = field(default_factory=dict)
    fed_by: list[int] = field(default_factory=list)
    """Of a map that takes the results of another one by one: the maps before it in its line, the first one first."""
    inner: Any = None
    """The workflow that a node of kind ``flow`` stands for."""
