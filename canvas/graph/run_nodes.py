"""A workflow's nodes → the nodes of its runs: checked, numbered in topological order, each with its edges.

A start node leads to whatever waits for nothing, and an end node waits for whatever nothing follows: it settles the
run. Both are part of the graph like every other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from canvas.errors import CompositionError
from canvas.model.gc_pause import gc_paused
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import ABSENT, RUN_LIMIT, KnownInput, OutgoingEdge, RunNode, starts
from canvas.primitives.fields import signature_dict


def topological(entries: Sequence[NodeDefinition]) -> list[int]:
    """The entries' numbers, parents first. Raises CompositionError that shows a cycle."""
    if all(source.number < number for number, entry in enumerate(entries) for source in entry.sources):
        return list(range(len(entries)))
    # Imported late: networkx takes longer to load than all else that starts a run, and most workflows are in order.
    from canvas.graph.dag import sorted_numbers

    return sorted_numbers(entries)


def run_nodes(entries: Sequence[NodeDefinition]) -> list[RunNode]:
    """The nodes of a run: the first starts it, the last ends it. Raises CompositionError for a cycle, or no nodes."""
    if all(entry.always for entry in entries):
        raise CompositionError("an empty workflow has nothing to run: add a node")
    with gc_paused():
        return _numbered(entries, topological(entries))


def _numbered(entries: Sequence[NodeDefinition], order: Sequence[int]) -> list[RunNode]:
    # Nodes that always run wait for all others.
    order = sorted(order, key=lambda number: entries[number].always)
    numbers = {entry: place for place, entry in enumerate(order, 1)}
    nodes = [RunNode("start", "start", hidden=True)]
    nodes += [_node(entries[number]) for number in order]
    for number in order:
        place, sources = numbers[number], entries[number].sources
        for slot, source in enumerate(sources):
            nodes[numbers[source.number]].outs.append(OutgoingEdge(place, slot, source.arm))
        if not sources and not entries[number].always:
            nodes[0].outs.append(OutgoingEdge(place, 0))
        if entries[number].fed_by:
            _join_line(nodes, entries, numbers, number)
    for number, node in enumerate(nodes):
        if node.details.get("cancel_rest"):
            node.cancels = _leading_only_to(nodes, number)
    _add_end(nodes)
    return nodes


def _add_end(nodes: list[RunNode]) -> None:
    """Add the node that ends the run, and the edges to it and to the nodes that always run."""
    always = [number for number, node in enumerate(nodes) if node.always]
    end = RunNode("end", "end", hidden=True)
    for node in nodes[1:]:
        # A map that takes items one by one may end before the map that gives them.
        if node.outs and "feeds" not in node.details:
            continue
        for place in always if not node.always else ():
            node.outs.append(OutgoingEdge(place, len(nodes[place].slots)))
            nodes[place].slots.append("order")
        if "feeds" in node.details:
            end.details["feeders"] = [*end.details.get("feeders", ()), len(end.slots)]
        node.outs.append(OutgoingEdge(len(nodes), len(end.slots)))
        end.slots.append("order")
    nodes.append(end)


def _join_line(
    nodes: Sequence[RunNode], entries: Sequence[NodeDefinition], numbers: Mapping[int, int], number: int
) -> None:
    """Note how a map gets its items from the map before it, and where the maps before it have its other inputs: by the
    number of each, the slots there."""
    entry = entries[number]
    slots: dict[str, list[int]] = {}
    for before in entry.fed_by:
        known = {source.number: slot for slot, source in enumerate(entries[before].sources) if source.arm is None}
        slots[str(numbers[before])] = [known[source.number] for source in entry.sources[1:]]
    feeder = nodes[numbers[entry.fed_by[-1]]]
    node = nodes[numbers[number]]
    node.details = {**node.details, "feeder": numbers[entry.fed_by[-1]], "slots": slots}
    feeder.details = {**feeder.details, "feeds": [*feeder.details.get("feeds", ()), numbers[number]]}


def _leading_only_to(nodes: Sequence[RunNode], number: int) -> list[int]:
    """The nodes from which every way leads to this one."""
    inside = {number}
    for before in range(number - 1, 0, -1):
        if nodes[before].outs and all(out.node in inside for out in nodes[before].outs):
            inside.add(before)
    return sorted(inside - {number})


def _details(entry: NodeDefinition) -> dict[str, Any]:
    if entry.inner is None:
        return entry.details
    return {**entry.details, "nodes": [node.as_list() for node in run_nodes(entry.inner.entries)]}


def _node(entry: NodeDefinition) -> RunNode:
    return RunNode(
        entry.name,
        entry.kind,
        [source.edge for source in entry.sources] or ([] if entry.always else ["order"]),
        entry.sig,
        entry.binds,
        continue_on_failure=entry.continue_on_failure,
        default=entry.default,
        choices=entry.choices,
        compensate=entry.compensate,
        hidden=entry.hidden,
        depth=entry.depth,
        when=entry.when,
        limit=entry.limit,
        always=entry.always,
        details=_details(entry),
    )


def resumed(nodes: Sequence[RunNode], ended: Mapping[int, tuple[str, Any]]) -> list[RunNode]:
    """The same nodes for another attempt: nodes that have ``ended`` (state and value, by number) are left out, and the
    nodes after them get their values."""
    given: list[list[KnownInput]] = [[] for _ in nodes]
    left = [replace(node, slots=list(node.slots), outs=[], given=mine) for node, mine in zip(nodes, given, strict=True)]
    for number, node in enumerate(nodes):
        for out in node.outs:
            if out.node in ended or number == 0:
                continue
            if number in ended:
                given[out.node].append(KnownInput(out.slot, *ended[number]))
            else:
                left[number].outs.append(out)
    for number, node in enumerate(left):
        if any(starts(node.when, one.state) for one in given[number]) and node.open_slots:
            _start_with(left, number)
    roots = {out.node for out in nodes[0].outs}
    for number, node in enumerate(left[1:], 1):
        if number in ended or (node.open_slots and number not in roots):
            continue
        if not node.open_slots:
            node.slots.append("order")
        left[0].outs.append(OutgoingEdge(number, len(node.slots) - 1))
    return left


def _start_with(nodes: Sequence[RunNode], number: int) -> None:
    """Let a node that starts with its first fitting input start with those that are known."""
    node = nodes[number]
    known = {one.slot for one in node.given}
    node.given = [
        *node.given,
        *(KnownInput(slot, ABSENT, None) for slot in range(len(node.slots)) if slot not in known),
    ]
    for before in nodes:
        before.outs = [out for out in before.outs if out.node != number]


def limit_nodes(nodes: Sequence[RunNode], at_once: int) -> None:
    """Have all tasks of these nodes, and of the workflows in their places, share ``at_once`` permits."""
    for node in nodes:
        inside = [RunNode.from_list(one) for one in node.details.get("nodes", ())]
        limit_nodes(inside, at_once)
        changed = {"nodes": [one.as_list() for one in inside]} if inside else {}
        node.details = {**node.details, **changed, RUN_LIMIT: at_once}


def with_values(nodes: Sequence[RunNode], ended: Mapping[int, tuple[str, Any]]) -> list[RunNode]:
    """The same nodes for Celery workers: a node that has ended becomes an identity task that gives its value, if a node
    that has not ended takes it, and otherwise a node of kind ``start``."""
    left: list[RunNode] = []
    for number, node in enumerate(nodes):
        if number not in ended:
            left.append(node)
            continue
        outs = [out for out in node.outs if out.node not in ended and out.node < len(nodes) - 1]
        sig = signature_dict("celery.accumulate", [ended[number][1]], {"index": 0}, {}, immutable=True)
        left.append(RunNode(node.name, "task" if outs else "start", ["order"], sig, outs=outs))
    return left
