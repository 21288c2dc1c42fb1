"""Nodes of a run that work on the items of a source page by page.

A page is two tasks, which are items of their node: one that gives the page, and the end of the run of a workflow that
works on it. The run of a page starts when the page is there and the run before has ended; the page after is asked for
then, so that at most two pages are kept apart from their results. The node's record says which page is worked on, and
how many items came before it: another attempt goes on there.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from canvas.errors import CompositionError, RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_run import (
    NodeRef,
    RunNode,
    bind_inputs,
    child_run_of,
    items_id,
    outline_id,
    task_id_of,
)
from canvas.producer.send_errors import problem_of
from canvas.workflows.run_records import outlines, page_source, page_work
from canvas.workflows.steps.child_runs import ChildRun, child_before, given_inputs, outcome_of_node, save_child
from canvas.workflows.steps.earlier_attempts import digest_of, usable_before
from canvas.workflows.steps.node_rules import FAILED
from canvas.workflows.steps.spread.lines import LineAttempt

ITEMS = "items"
"""The key of a page's items; and the input by which a workflow gets them."""
NEXT = "next"
"""The key of the cursor with which the next page is asked for."""
_GIVEN, _WORKED = 0, 1
"""The tasks of a page."""


class Progress(NamedTuple):
    """How far a node has come."""

    page: int
    """The page that is worked on, or asked for."""
    before: int
    """The number of items of the pages before it."""

    @classmethod
    def of(cls, record: Record | None) -> "Progress":
        """The progress in a node's record; the start without one."""
        return cls(0, 0) if record is None else cls(*record.extra.get("progress", (0, 0)))


class PagesAttempt(LineAttempt):
    """An attempt that works on pages."""

    @abstractmethod
    def begin(self, timeout: float | None) -> None: ...

    def _pages(self, number: int, node: RunNode, values: Sequence[Any]) -> None:
        """Start with the first page, or the one after the last that an earlier attempt has done."""
        assert node.sig is not None
        place = NodeRef(self._run, self._attempt, number)
        sig = bind_inputs(node.sig, node.binds, values, self._source_of(number))
        digest = digest_of([sig, node.details["start"], node.details["nodes"]], self._app.backend.serializer)
        self._keep(items_id(place), sig)
        self._keep(outline_id(place), [0, digest])
        _, *earlier = self._attempts(place)
        progress = Progress.of(self._read([earlier[0]])[0]) if earlier else Progress(0, 0)
        if self._known_page(place, progress.page) is None:
            cursor = node.details["start"]
            if progress.page:
                cursor = self._page_of(place, progress.page - 1)[NEXT]
            self._ask(number, progress, cursor)
        elif self._record_of(page_work, place, progress.page) is None:
            self._work_on(number, progress)
        else:
            self._page_done(number, progress)

    def _ask(self, number: int, progress: Progress, cursor: Any) -> None:
        """Ask for a page when none is worked on."""
        self._note(number, progress, progress.page + 1)
        problem = problem_of(partial(self._send_source, number, progress.page, cursor))
        if problem is not None:
            self._pages_over(number, progress, states.FAILURE, problem)

    def _send_source(self, number: int, page: int, cursor: Any) -> None:
        place = NodeRef(self._run, self._attempt, number)
        self._send(self._kept(items_id(place)), (cursor,), page_source(place, page))

    def _work_on(self, number: int, progress: Progress) -> None:
        """Start the run for a page that is there, and ask for the page after it."""
        work = page_work(NodeRef(self._run, self._attempt, number), progress.page)
        page = self._page_of(work, progress.page)
        child = child_before(self._runs, work) if self._attempts(work)[1:] else None
        outcome = outcome_of_node(self._app, work, child or child_run_of(task_id_of(work)))
        if child is not None:
            self._resume_child(child, outcome)
        else:
            details = self._node(number).details
            nodes = given_inputs([RunNode.from_list(one) for one in details["nodes"]], {ITEMS: page[ITEMS]})
            name = f"{details['name']} {progress.page + 1}"
            new = ChildRun(task_id_of(work), name, nodes, outcome, work)
            child = save_child(self._app, self._runs, self._outbox, new)
            type(self)(self._app, self._runs, self._outbox, child, 0, self._parent).begin(None)
        self._note(number, progress, progress.page + 1 + (page[NEXT] is not None), child)
        if page[NEXT] is not None:
            self._ask_ahead(work, progress.page + 1, page[NEXT])

    def _ask_ahead(self, place: NodeRef, page: int, cursor: Any) -> None:
        """Ask for a page while the one before it is worked on."""
        known = self._known_page(place, page) if self._attempt else None
        if known is not None:
            self._join(place.node, page, _GIVEN, states.SUCCESS, known)
            return
        problem = problem_of(partial(self._send_source, place.node, page, cursor))
        if problem is not None:
            self._join(place.node, page, _GIVEN, states.FAILURE, problem)

    def _page_item(self, place: NodeRef, state: str, value: Any) -> None:
        """A task of a page has ended."""
        page, task = divmod(place.item or 0, 2)
        if task == _GIVEN:
            self._page_given(place, page, state, value)
        elif self._page_of(place, page)[NEXT] is not None:
            self._join(place.node, page + 1, _WORKED, state, value if state in FAILED else None)
        elif state in FAILED:
            self._pages_over(place.node, self._progress(place.node), state, value)
        else:
            self._page_done(place.node, self._progress(place.node))

    def _page_given(self, place: NodeRef, page: int, state: str, value: Any) -> None:
        if state == states.SUCCESS:
            problem = problem_of(partial(self._check, place, page, value))
            if problem is not None:
                state, value = states.FAILURE, problem
        progress = self._progress(place.node)
        if page != progress.page:  # the page before it is worked on
            self._join(place.node, page, _GIVEN, state, value)
        else:
            self._go_on_with(place.node, progress, state, value)

    def _join(self, number: int, page: int, slot: int, state: str, value: Any) -> None:
        self._part(f"{number}.page.{page}", slot, state, value, ["page", number, page], 2)

    def _on_page(self, number: int, page: int, parts: Sequence[tuple[int, str, Any]]) -> None:
        """A page is there, and the run of the page before it has ended."""
        progress = self._progress(number)
        (_, given, value), (_, worked, error) = parts
        if worked in FAILED:
            self._pages_over(number, progress, worked, error)
            return
        items = self._page_of(NodeRef(self._run, self._attempt, number), page - 1)[ITEMS]
        self._go_on_with(number, Progress(page, progress.before + len(items)), given, value)

    def _go_on_with(self, number: int, progress: Progress, state: str, value: Any) -> None:
        """Work on a page that its task has given, or has failed to give."""
        if state not in FAILED:
            place = page_source(NodeRef(self._run, self._attempt, number), progress.page)
            self._kept_now[task_id_of(place)] = value
            value = problem_of(partial(self._work_on, number, progress))
            state = states.FAILURE
        if value is not None:
            self._pages_over(number, progress, state, value)

    def _page_done(self, number: int, progress: Progress) -> None:
        """Go on after the run of a page when the page after it has not been asked for, or there is none."""
        place = NodeRef(self._run, self._attempt, number)
        page = self._page_of(place, progress.page)
        after = Progress(progress.page + 1, progress.before + len(page[ITEMS]))
        given = self._known_page(place, after.page) if page[NEXT] is not None else None
        if page[NEXT] is None:
            self._over(number, states.SUCCESS, after.before, rounds=after.page, progress=list(after))
        elif given is not None:
            self._go_on_with(number, after, states.SUCCESS, given)
        else:
            self._ask(number, after, page[NEXT])

    def _attempts(self, place: NodeRef) -> list[NodeRef]:
        """This attempt at a node, and the earlier ones with the same source and work, the latest first."""
        whole = place._replace(item=None, size=None)
        before = usable_before(self._runs, whole)
        own = tuple(self._kept(outline_id(whole))) if before else ()
        found = zip(before, outlines(self._app, self._runs, before), strict=True)
        return [whole, *(one for one, outline in found if outline == own)]

    def _progress(self, number: int) -> Progress:
        return Progress.of(self._read([NodeRef(self._run, self._attempt, number)])[0])

    def _note(self, number: int, progress: Progress, asked: int, child: str | None = None) -> None:
        """Record how far the node has come, and the run of the page."""
        inside = {} if child is None else {"child": child}
        self._record(number, states.STARTED, None, rounds=asked, progress=list(progress), **inside)

    def _pages_over(self, number: int, progress: Progress, state: str, value: Any) -> None:
        self._over(number, state, value, rounds=progress.page + 2, progress=list(progress))

    def _record_of(self, task: Callable[[NodeRef, int], NodeRef], place: NodeRef, page: int) -> Record | None:
        """The success of a task of a page, in this attempt or an earlier one."""
        found = self._read([task(one, page) for one in self._attempts(place)])
        return next((one for one in found if one is not None and one.status == states.SUCCESS), None)

    def _known_page(self, place: NodeRef, page: int) -> Any:
        """A page that a task has given, ``None`` if it has to be asked for."""
        record = self._record_of(page_source, place, page)
        if record is None or problem_of(partial(self._check, place, page, record.result)) is not None:
            return None
        return record.result

    def _page_of(self, place: NodeRef, page: int) -> dict[str, Any]:
        """A page that is there. Raises RunLost."""
        now = self._kept_now.get(task_id_of(page_source(place, page)))
        if now is not None:
            return {ITEMS: now[ITEMS], NEXT: now.get(NEXT)}
        record = self._record_of(page_source, place, page)
        if record is None:
            name = self._node(place.node).name
            raise RunLost(f"page {page + 1} of {name} in run {self._run} is gone from the result backend")
        return {ITEMS: record.result[ITEMS], NEXT: record.result.get(NEXT)}

    def _check(self, place: NodeRef, page: int, value: Any) -> None:
        """Raise CompositionError for a value that is not a page, or for a page that asks for itself."""
        name = self._node(place.node).name
        if not isinstance(value, dict) or not isinstance(value.get(ITEMS), list) or value.keys() - {ITEMS, NEXT}:
            raise CompositionError(
                f"{name}: expected its source to return {{'items': [...], 'next': cursor}}, with next None for the "
                f"last page; got {value!r:.100}"
            )
        cursor = self._node(place.node).details["start"] if not page else self._page_of(place, page - 1)[NEXT]
        if value.get(NEXT) is not None and value[NEXT] == cursor:
            raise CompositionError(
                f"{name}: the source gave page {page + 1} the cursor by which it was asked for: "
                f"{cursor!r:.100}; return the cursor of the next page, or None"
            )
