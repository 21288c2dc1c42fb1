"""Bootsteps, as in Celery: parts that ``app.steps`` adds to a worker, started and stopped with it."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, ClassVar

from canvas.config.sources import imported
from canvas.errors import ConfigurationError
from canvas.worker.extending.components import Component

RUN, CLOSE, TERMINATE = 1, 2, 3
"""The states of a worker's blueprint in Celery, by name."""
_OF_CELERY = ("celery.worker.", "celery.apps.")


class Step:
    """A part of a worker. ``create`` is called once, when the worker is made, if ``include_if`` allows it.

    A step is made with its parent (the worker for ``app.steps["worker"]``, the consumer for ``app.steps["consumer"]``)
    and with the options of the command line.
    """

    name: ClassVar[str]
    """``module.Class``, unless the class gives another name."""
    label: str | None = None
    conditional = False
    requires: Any = ()
    """Steps that start before this one: classes, or names such as ``proj.steps:Other``."""
    enabled = True
    last = False
    """Whether it starts after all the others."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = f"{cls.__module__}.{cls.__qualname__}"

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        """Options of the command line are keyword arguments."""

    def include_if(self, parent: Any) -> bool:
        """Whether the step is used; by default its ``enabled``."""
        return self.enabled

    def include(self, parent: Any) -> bool:
        """Create it, if it is used. Returns whether it is."""
        if not self.include_if(parent):
            return False
        self.create(parent)
        return True

    def create(self, parent: Any) -> Any:
        """Override it to make the objects that the step needs."""

    def instantiate(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """An object of a class, given itself or its name. Raises ImportError."""
        return (imported(name) if isinstance(name, str) else name)(*args, **kwargs)

    @property
    def alias(self) -> str:
        return self.label or self.name.rpartition(".")[2]

    def info(self, obj: Any) -> Any:
        """The facts that ``inspect stats`` shows of it; by default none."""

    def __repr__(self) -> str:
        return f"<step: {self.alias}>"


class StartStopStep(Step):
    """A step that is started and stopped with the worker. By default it does so with the object of ``create``."""

    obj: Any = None

    def include(self, parent: Any) -> bool:
        if not self.include_if(parent):
            return False
        self.obj = self.create(parent)
        parent.steps.append(self)
        return True

    def start(self, parent: Any) -> Any:
        if self.obj is not None:
            return self.obj.start()
        return None

    def stop(self, parent: Any) -> Any:
        if self.obj is not None:
            return self.obj.stop()
        return None

    def close(self, parent: Any) -> Any:
        """Called before any step is stopped."""

    def terminate(self, parent: Any) -> Any:
        """Called in place of ``stop`` when the worker ends at once."""
        if self.obj is not None:
            return getattr(self.obj, "terminate", self.obj.stop)()
        return None


class ConsumerStep(StartStopStep):
    """A step with consumers of kombu, which ``get_consumers`` makes. They run on a thread with a connection of its own.

    Raises ConfigurationError when it starts without kombu, or with a broker that kombu does not know.
    """

    consumers: Any = None

    def get_consumers(self, channel: Any) -> Iterable[Any]:
        """Consumers of kombu on ``channel``."""
        raise NotImplementedError("missing get_consumers")

    def start(self, parent: Any) -> None:
        from canvas.worker.extending.consuming import Consuming

        self._consuming = Consuming(parent.app, self.get_consumers, self.name)
        self._consuming.start()
        self.consumers = self._consuming.consumers

    def stop(self, parent: Any) -> None:
        consuming = getattr(self, "_consuming", None)
        if consuming is not None:
            consuming.stop()
            self.consumers = None

    shutdown = stop


def ordered(chosen: Iterable[Any], parent: str) -> list[type[Step]]:
    """Steps, together with those that they require, each after the steps that it requires. ``parent`` names them in
    errors.

    Raises ConfigurationError for a class that is not a step, for a name that cannot be imported, and for a circle.
    """
    found: dict[type[Step], list[type[Step]]] = {}
    waiting = sorted((_class_of(one, parent) for one in chosen), key=lambda step: step.name)
    while waiting:
        step = waiting.pop(0)
        if step not in found:
            required = (step.requires,) if isinstance(step.requires, str | type) else step.requires
            found[step] = [_class_of(one, step.name) for one in required if not _is_built_in(one)]
            waiting += found[step]
    try:
        order = list(TopologicalSorter(found).static_order())
    except CycleError as exc:
        names = " -> ".join(step.name for step in exc.args[1])
        raise ConfigurationError(f"bootsteps require each other in a circle: {names}") from None
    return sorted(order, key=lambda step: step.last)


def _class_of(step: Any, asked_by: str) -> type[Step]:
    if isinstance(step, str):
        try:
            step = imported(step)
        except (ImportError, AttributeError) as exc:
            raise ConfigurationError(f"bootstep {step!r}, named by {asked_by}, cannot be imported: {exc}") from exc
    if not (isinstance(step, type) and issubclass(step, Step)):
        raise ConfigurationError(f"{asked_by}: expected a subclass of celery.bootsteps.Step; got {step!r:.100}")
    return step


def _is_built_in(step: Any) -> bool:
    """Whether a step is one of Celery's own, in whose place canvas has parts that start before all steps of users."""
    if isinstance(step, str):
        return step.startswith(_OF_CELERY)
    return isinstance(step, type) and issubclass(step, Component)


class Steps:
    """The steps of one parent."""

    def __init__(self, parent: Any, chosen: Iterable[Any], name: str, options: Mapping[str, Any]) -> None:
        """Make them, in their order. Raises ConfigurationError as ``ordered``."""
        self._parent = parent
        self._open = False
        # Kept as long as the worker: a step may have receivers of signals, which are connected weakly.
        self._made = [kind(parent, **options) for kind in ordered(chosen, name)]
        for step in self._made:
            step.include(parent)

    def start(self) -> None:
        """Start each, in their order."""
        self._open = True
        for step in self._parent.steps:
            step.start(self._parent)

    def stop(self, at_once: bool = False) -> None:
        """Close all, then stop each, the last one first; ``at_once``: terminate each. Repeated calls do nothing."""
        if not self._open:
            return
        self._open = False
        for step in self._parent.steps:
            step.close(self._parent)
        for step in reversed(self._parent.steps):
            (step.terminate if at_once else step.stop)(self._parent)
