"""A workflow in Celery's own embeddings, for workers that do not know runs.

The nodes after a node are its ``link`` or its ``chain``. A region that one node opens and one node closes is a chord in
Celery's pending form, which writes each of its nodes once. All other joins are chords of their own: each parent returns
a part, itself or through ``celery.accumulate``, and the join stands in each of its parts. Two callbacks would be made a
group by Celery, which overwrites the order of a join's parts: a node with several successors leads to them through a
tree of identity tasks with one callback and one chain each.
"""

from collections.abc import Callable, Sequence
from typing import Any

import networkx as nx

from canvas.graph.celery_limits import check_node, reduced
from canvas.graph.dag import Dag
from canvas.graph.wire_signature import Wire, chord_dict, first_step, last_task, line, tasks_of
from canvas.model.compiled import ChordSize, ResultRef
from canvas.model.workflow_run import RunNode
from canvas.primitives.fields import signature_dict


class WorkflowEmbeddings:
    """One run's nodes on their way into signatures."""

    def __init__(
        self, nodes: Sequence[RunNode], id_of: Callable[[int], str], new_id: Callable[[], str], stamp: dict[str, Any]
    ) -> None:
        """``stamp``: options that every task gets. Raises CompositionError naming the node that has no such form."""
        self._nodes = nodes
        self._id_of = id_of
        self._new_id = new_id
        self._stamp = stamp
        self.graph = reduced(nodes)
        for number in self.graph:
            check_node(nodes, self.graph, number)
        self._closes = _closing(self.graph)
        self._joins: dict[int, ChordSize] = {}
        self._returned: dict[int, dict[int, str]] = {}
        """By join, and by the slot of a part: the task that returns it."""
        self._made: dict[int, Wire] = {}
        self.chords: list[ChordSize] = []

    def roots(self) -> list[Wire]:
        """The signatures that start the run; ``chords`` are the chords that start with it."""
        # Last first: a node that stands in several places is made once.
        found = [self._from(number) for number in self.graph if self.graph.in_degree(number) == 0]
        for join, returned in self._returned.items():
            self._joins[join].members = [ResultRef(task_id) for _, task_id in sorted(returned.items())]
        return found

    def largest_contributor(self) -> str:
        """The node that takes most bytes, because the nodes after it are written several times."""
        sizes = {number: _copies(self.graph, number) for number in self.graph}
        return self._nodes[max(sizes, key=lambda number: sizes[number])].name

    def _from(self, number: int) -> Wire:
        """A node and all that follows it."""
        made = self._made.get(number)
        if made is None:
            units, tail, after = self._units(number, None)
            self._connect(tail, after, alone=len(units) == 1, body=units[-1] is not tail)
            made = self._made[number] = units[0] if len(units) == 1 else self._chain(units)
        return made

    def _units(self, number: int, stop: int | None) -> tuple[list[Wire], Wire, int]:
        """The longest line of tasks and chords from a node on (up to ``stop``); the task at its end, and its node."""
        units, tail = self._unit(number)
        while True:
            following = list(self.graph.adj[number])
            if stop in following and len(following) == 1:
                break
            if len(following) == 1 and self.graph.in_degree(following[0]) == 1:
                number = following[0]
                more, tail = self._unit(number)
                units += more
                continue
            region = self._region(number) if len(following) > 1 else None
            if region is None:
                break
            number = self._closes[number]  # type: ignore[assignment]
            more, tail = self._unit(number)
            units.append(chord_dict(region, more[0]))
            units += more[1:]
        return units, tail, number

    def _region(self, opening: int) -> list[Wire] | None:
        """The branches between a node and the node at which they all meet, in the order of the latter's parts; ``None``
        if they do not meet."""
        closing = self._closes[opening]
        if closing is None or len(self.graph.adj[opening]) != self.graph.in_degree(closing):
            return None
        branches: list[tuple[int, Wire]] = []
        for start in self.graph.adj[opening]:
            if start == closing:
                slot = self.graph.edges[opening, closing]["slot"]
                branches.append((slot, self._identity({})))
                continue
            if self.graph.in_degree(start) != 1:
                return None
            units, _, last = self._units(start, closing)
            if list(self.graph.adj[last]) != [closing]:
                return None
            slot = self.graph.edges[last, closing]["slot"]
            branches.append((slot, units[0] if len(units) == 1 else self._chain(units)))
        return [branch for _, branch in sorted(branches, key=lambda one: one[0])]

    def _connect(self, task: Wire, number: int, alone: bool, body: bool) -> None:
        """Let a task lead to all successors of its node.

        Only a task that stands ``alone`` may have a chain of its own: Celery replaces that of a step in a chain. And it
        replaces the group of a chord's ``body``, which so cannot be a part itself.
        """
        following = list(self.graph.adj[number])
        if len(following) == 1 and self.graph.in_degree(following[0]) > 1 and not body:
            self._return_part(task, number, following[0])
            return
        children = [self._successor(number, one) for one in following]
        if len(children) > 1 and not (alone and not task["options"].get("link")):
            children = [self._fan_tree(children)]
        self._fan_out(task, children)

    def _fan_out(self, task: Wire, children: list[Wire]) -> None:
        if not children:
            return
        options, middle = task["options"], (len(children) + 1) // 2
        options["link"] = [*options.get("link", []), self._fan_tree(children[:middle])]
        if len(children) > 1:
            options["chain"] = [self._step(self._fan_tree(children[middle:]))]

    def _fan_tree(self, children: list[Wire]) -> Wire:
        if len(children) == 1:
            return children[0]
        identity = self._identity({})
        self._fan_out(identity, children)
        return identity

    def _step(self, sig: Wire) -> Wire:
        """Signatures that may stand in a chain: none with a chain of its own."""
        if "chain" not in sig["options"]:
            return sig
        identity = self._identity({})
        identity["options"]["link"] = [sig]
        return identity

    def _successor(self, number: int, following: int) -> Wire:
        if self.graph.in_degree(following) == 1:
            return self._from(following)
        identity = self._identity({})
        self._return_part(identity, number, following)
        return identity

    def _return_part(self, task: Wire, number: int, join: int) -> None:
        """Let a task return a node's part to a join."""
        size, slot = self.graph.in_degree(join), self.graph.edges[number, join]["slot"]
        chord = self._joins.get(join)
        if chord is None:
            chord = self._joins[join] = ChordSize(self._new_id(), size)
            self._returned[join] = {}
            self.chords.append(chord)
            body = self._from(join)
            first_step(body)["options"]["chord_size"] = size
        self._returned[join][slot] = task["options"]["task_id"]
        task["options"] |= {"chord": self._made[join], "group_id": chord.group_id, "group_index": slot}

    def _unit(self, number: int) -> tuple[list[Wire], Wire]:
        """A node as a line of tasks and chords, and the task whose result is its own."""
        node = self._nodes[number]
        assert node.sig is not None
        units = line(lambda: self._identity({}), node.sig)
        head = units[0]
        if head["subtask_type"] is None:
            head["immutable"] = not node.binds
        if node.binds:
            # The result comes as first argument: its placeholder is removed.
            head["args"] = list(head["args"])[1:]
        tail = last_task(units[-1])
        tail["options"] |= {"task_id": self._id_of(number), "ignore_result": False}
        for task in (one for unit in units for one in tasks_of(unit)):
            task["options"] |= self._stamp
        return units, tail

    def _identity(self, options: dict[str, Any]) -> Wire:
        given = {**self._stamp, "task_id": self._new_id(), **options}
        return signature_dict("celery.accumulate", [], {"index": 0}, given)

    def _chain(self, units: list[Wire]) -> Wire:
        return signature_dict("celery.chain", [], {"tasks": units}, {}, "chain")


def _closing(graph: Dag) -> dict[int, int | None]:
    """For each node the first one that is on every path from it to an end; ``None`` if there is none."""
    end = -1
    backwards: Dag = graph.reverse(copy=True)
    backwards.add_edges_from((end, number) for number in graph if graph.out_degree(number) == 0)
    if not len(graph):
        return {}
    closing = nx.immediate_dominators(backwards, end)
    return {number: None if closing[number] == end else closing[number] for number in graph}


def _copies(graph: Dag, number: int) -> int:
    """How many descendants are written once more for each further parent."""
    return (max(graph.in_degree(number), 1) - 1) * (len(nx.descendants(graph, number)) + 1)
