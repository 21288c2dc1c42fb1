"""Tasks that belong together: chains, groups and chords, from roots, parents and the groups that records name."""

from typing import Any, NamedTuple

from canvas.app.application import Canvas
from canvas.dashboard.collecting.cluster import Cluster
from canvas.model import states
from canvas.remote.cluster_entries import Task

_TOGETHER = 500
"""Records that one call reads at most."""


class Family(NamedTuple):
    """Tasks of one chain, group or chord, or tasks that one task has sent."""

    tasks: list[Task]

    @property
    def first(self) -> Task:
        return min(self.tasks, key=lambda task: task.received or task.sent or task.timestamp or 0.0)

    @property
    def state(self) -> str:
        """FAILURE if one has failed, STARTED while one has not ended, else SUCCESS."""
        found = {task.state for task in self.tasks}
        if found & states.PROPAGATE_STATES:
            return states.FAILURE
        return states.SUCCESS if found <= states.READY_STATES else states.STARTED

    def kind(self, groups: dict[str, str]) -> str:
        """``chain``, ``group``, ``chord`` or ``tree``.

        ``group or chord``: a member failed, so that no body ran, and the events of Celery's workers, which ran all
        members, do not name one."""
        parents = [task.parent_id for task in self.tasks if task.parent_id is not None]
        if any(groups.get(task.uuid or "") for task in self.tasks):
            of_chords = [chord for task in self.tasks if (chord := _chord_of(task)) is not None]
            if parents or any(of_chords):
                return "chord"
            return "group or chord" if self.state == states.FAILURE and not of_chords else "group"
        return "chain" if len(set(parents)) == len(parents) else "tree"


class Families:
    """Finds the tasks that belong together."""

    def __init__(self, app: Canvas, cluster: Cluster) -> None:
        self._app = app
        self._cluster = cluster

    def read_groups(self) -> None:
        """Read the groups of tasks that have ended lately. Raises BrokerError."""
        if self._app.driver.results is None:
            return
        known = self._cluster.groups
        unread = [one for one in reversed(self._cluster.tasks_now()) if one.ready and one.uuid not in known]
        ids = [one.uuid for one in unread[:_TOGETHER] if one.uuid is not None]
        records = self._app.backend.get_records(ids) if ids else []
        for task_id, record in zip(ids, records, strict=True):
            if self._cluster.task(task_id) is not None:
                known[task_id] = (record.group_id or "") if record is not None else ""

    def all(self) -> list[Family]:
        """All families of more than one task, the one with the latest event first. Tasks of runs of workflows are left
        out: runs are listed separately."""
        together: dict[str, list[Task]] = {}
        leader = _Leaders()
        tasks = self._cluster.tasks_now()
        for task in tasks:
            leader.join(task.uuid or "", *_relations(task, self._cluster.groups))
        for task in tasks:
            if not _is_of_run(task):
                together.setdefault(leader.of(task.uuid or ""), []).append(task)
        families = [Family(members) for members in together.values() if len(members) > 1]
        return sorted(families, key=lambda one: max(task.timestamp or 0.0 for task in one.tasks), reverse=True)

    def of(self, task: Task) -> list[Task]:
        """The tasks that belong together with a task, itself included."""
        group = self._cluster.groups.get(task.uuid or "")
        related = list(self._cluster.related(task.root_id or task.uuid or ""))
        if not group:
            group = next((found for one in related if (found := self._cluster.groups.get(one.uuid or ""))), None)
        if group:
            members = [one for one in self._cluster.tasks_now() if self._cluster.groups.get(one.uuid or "") == group]
            for member in members:
                related += self._cluster.related(member.root_id or member.uuid or "")
        return list(dict.fromkeys(related))


def _relations(task: Task, groups: dict[str, str]) -> list[str]:
    group = groups.get(task.uuid or "")
    found = [task.root_id, task.parent_id, f"group:{group}" if group else None]
    return [one for one in found if one is not None]


def _chord_of(task: Task) -> bool | None:
    """Whether a member of a group is one of a chord, too; ``None`` where no event of the task says so."""
    return None if getattr(task, "group_id", None) is None else getattr(task, "chord", None) is not None


def _is_of_run(task: Task) -> bool:
    return task.root_id is not None and str(task.uuid).startswith(f"{task.root_id}.")


class _Leaders:
    """Disjoint sets of ids."""

    def __init__(self) -> None:
        self._leaders: dict[str, str] = {}

    def of(self, one: str) -> str:
        path = []
        while (leader := self._leaders.get(one, one)) != one:
            path.append(one)
            one = leader
        self._leaders.update(dict.fromkeys(path, one))
        return one

    def join(self, one: str, *others: str) -> None:
        for other in others:
            self._leaders[self.of(other)] = self.of(one)


def summary(family: Family, groups: dict[str, str]) -> dict[str, Any]:
    """A family in a list."""
    first = family.first
    return {
        "id": first.uuid, "name": first.name, "state": family.state, "tasks": len(family.tasks),
        "done": sum(task.ready for task in family.tasks), "kind": family.kind(groups),
        "timestamp": max(task.timestamp or 0.0 for task in family.tasks),
    }  # fmt: skip
