"""The parts that the handlers of requests share."""

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from canvas.app.application import Canvas
from canvas.dashboard.collecting.collector import Collector
from canvas.dashboard.history import History
from canvas.dashboard.metrics import Metrics
from canvas.dashboard.options import DashboardOptions
from canvas.text import short_repr
from canvas.workflows.progress.watch import ProgressWatch

_WATCHED = 64
HIDDEN = "•••"
"""Stands for masked text."""


@dataclass
class Context:
    """The parts of a dashboard."""

    app: Canvas
    options: DashboardOptions
    collector: Collector
    metrics: Metrics
    history: History | None = None
    _watches: dict[str, ProgressWatch] = field(default_factory=dict)

    def watch(self, run_id: str) -> ProgressWatch:
        """The watch of a run; the latest ones are kept. Raises RunLost."""
        known = self._watches.pop(run_id, None)
        if known is None:
            known = ProgressWatch(self.app.workflow(run_id))
        else:
            attempt = known.run.attempt
            if known.run.refresh().attempt != attempt:
                known = ProgressWatch(known.run)
        self._watches[run_id] = known
        while len(self._watches) > _WATCHED:
            self._watches.pop(next(iter(self._watches)), None)
        return known

    def arguments(self, text: Any) -> Any:
        """The text of arguments, masked where the options ask for that."""
        return HIDDEN if "arguments" in self.options.mask and text is not None else text

    def result(self, text: Any) -> Any:
        """The text of a result, an exception or a traceback, masked where the options ask for that."""
        return HIDDEN if "results" in self.options.mask and text is not None else text

    def shown_result(self, value: Any) -> Any:
        """A result as bounded text, masked where the options ask for that."""
        return self.result(short_repr(value, 10_000, 8))


def context_of(request: Request) -> Context:
    """The parts of the dashboard that answers a request."""
    found: Context = request.scope["canvas_dashboard"]
    return found
