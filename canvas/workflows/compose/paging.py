"""The nodes of a workflow that work on a source page by page."""

from collections.abc import Iterable
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any

from canvas.errors import CompositionError
from canvas.model.workflow_definition import NodeDefinition
from canvas.primitives.mapping import YIELDED_PAGE
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
        """A node that runs ``work`` for each item that ``source`` gives, page by page; its value is the number of
        items. No message and no record has more items than a page.

        ``run.pages(name)`` reads the results, page by page. Each page has its own run, which starts when the run of the
        page before has ended; ``source`` gives the page while the page before is worked on. Another attempt goes on
        with the page that failed.

        Args:
            source: A task that returns a page as ``{"items": [...], "next": cursor}``; its last page has no ``next``,
                or ``None``. The cursor stands before its other arguments. Or a task that is a generator, also an
                asynchronous one, and yields lists of items: it runs to its end in one task, and the work begins then.
            work: A signature that takes an item before its other arguments, or a workflow with the input ``items``.
            start: The cursor of the first page.
            after: Nodes that end before it starts.
            options: Those of ``map``, for the items of a page: ``concurrency``, ``batch``, ``stop_after``,
                ``on_failure``, ``default``, ``compensate``.

        Raises:
            CompositionError: A ``start`` for a generator, or a workflow without the input.
        """
        entry = NodeDefinition(self._named(name, source), "pages")
        self._check_signature(entry.name, source)
        entry.inner = self._work(entry.name, work, options)
        self._writable(entry.name, start)
        entry.details = {"name": entry.inner.name, "start": start}
        source = self._source(entry, source)
        entry.sig = self._bound(entry, source)
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

    def _source(self, entry: NodeDefinition, source: Signature[Any]) -> Signature[Any]:
        """The signature of the task that gives a page. Raises CompositionError for a generator with a cursor."""
        app = self._app or source.given_app()
        task = app.registry.get(source["task"]) if app is not None else None
        function = getattr(task, "run", None)
        if app is None or not (isgeneratorfunction(function) or isasyncgenfunction(function)):
            self._check_arguments(entry.name, source, 1)
            return source
        self._check_arguments(entry.name, source, 0)
        if entry.details["start"] is not None:
            raise CompositionError(f"{entry.name}: start: {source['task']} is a generator, which takes no cursor")
        options = {"route_name": source["task"], **app.exec_options(source["task"]), **source["options"]}
        return Signature(YIELDED_PAGE, kwargs={"task": source}, options=options, app=app)
