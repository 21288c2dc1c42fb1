"""The nodes of a workflow that work on a source page by page."""

from collections.abc import Iterable
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any

from canvas.errors import CompositionError
from canvas.model.workflow_definition import NodeDefinition
from canvas.primitives.signature import Signature
from canvas.workflows.compose.control_flow import ControlFlow
from canvas.workflows.compose.references import Node, Reference
from canvas.workflows.steps.pages import ITEMS


class PageComposition(ControlFlow):
    """The nodes of a workflow with pages."""

    def pages(
        self,
        source: Signature[Any],
        work: "Signature[Any] | PageComposition",
        *,
        start: Any = None,
        name: str | None = None,
        after: Reference | Iterable[Reference] = (),
        **options: Any,
    ) -> Node:
        """A node that runs ``work`` for each item that ``source`` gives, a page of them after the other; its value is
        the number of items. However many there are, no message and no record has more than a page of them.

        ``run.pages(name)`` reads the results, page by page. Each page has a run of its own, which starts when that of
        the page before has ended; its source has run by then. Another attempt goes on with the page that failed.

        Args:
            source: A task that returns a page as ``{"items": [...], "next": cursor}``; its last page has no ``next``,
                or ``None``. The cursor stands before its other arguments.
            work: A signature that takes an item before its other arguments, or a workflow with the input ``items``.
            start: The cursor of the first page.
            options: Those of ``map``, for the items of a page: ``concurrency``, ``batch``, ``stop_after``,
                ``on_failure``, ``default``, ``compensate``.

        Raises:
            CompositionError: A source that is a generator, or a workflow without the input.
        """
        entry = NodeDefinition(self._named(name, source), "pages")
        self._check_signature(entry.name, source)
        self._check_source(entry.name, source)
        entry.inner = self._work(entry.name, work, options)
        self._writable(entry.name, start)
        entry.details = {"name": entry.inner.name, "start": start}
        entry.sig = self._bound(entry, source)
        self._check_arguments(entry.name, source, 1)
        self._order(entry, after)
        return Node(self, self._append(entry, source))

    def _work(self, name: str, work: Any, options: Any) -> "PageComposition":
        """The workflow that runs for each page."""
        if not isinstance(work, PageComposition):
            inner = type(self)(name, self._app)
            inner.map(work, inner.input(ITEMS), **options)
            return inner
        if options:
            raise CompositionError(f"{name}: {min(options)}: give it to the maps of workflow {work.name!r}")
        if work is self or any(self is one for one in work.nested()):
            raise CompositionError(f"{name}: cycle: workflow {self.name!r} would be a node of itself")
        inputs = work.inputs()
        if ITEMS not in inputs:
            raise CompositionError(f"{name}: workflow {work.name!r} has no input {ITEMS!r}, which gets a page's items")
        for given in inputs.values():
            if given.name != ITEMS and "default" not in given.details:
                raise CompositionError(f"{name}: workflow {work.name!r}: give its input {given.name!r} a default")
        return work

    def _check_source(self, name: str, source: Signature[Any]) -> None:
        app = self._app or source.given_app()
        task = app.registry.get(source["task"]) if app is not None else None
        function = getattr(task, "run", None)
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise CompositionError(
                f"{name}: source: {source['task']} is a generator, which no other process could go on with; let it "
                "take a cursor, and return a page with the cursor of the next one: {'items': [...], 'next': cursor}"
            )
