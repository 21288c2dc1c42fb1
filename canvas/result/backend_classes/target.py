"""Where results are kept, and the parts of an app that this depends on."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from canvas.config.config import Config
from canvas.model.record import RecordClock
from canvas.result.bases import ResultApp

if TYPE_CHECKING:
    from canvas.drivers.ports import Driver, StoreParts


class BackendApp(ResultApp, RecordClock, Protocol):
    """The parts of an app that its result backend needs."""

    @property
    def conf(self) -> Config: ...

    def now(self) -> datetime: ...

    @property
    def backend_cls(self) -> Any: ...

    @property
    def backend_aliases(self) -> Mapping[str, str]: ...


class ResultTarget(NamedTuple):
    """Where results are kept."""

    url: str | None
    """The URL of a driver's store; ``None`` where results are stored nowhere, or in ``backend``."""
    backend: Any = None
    """The object of a class that ``result_backend`` names."""

    @property
    def is_rpc(self) -> bool:
        """Whether results are messages to the processes that sent the tasks."""
        return self.url is not None and self.url.startswith("rpc")

    @property
    def store(self) -> "StoreParts | None":
        """The store of a class that keeps records itself."""
        found: StoreParts | None = None
        if self.backend is not None and self.url is None:
            found = self.backend.store.parts
        return found

    def bound(self, results: Any, chords: Any) -> Any:
        """The object of the class, with the driver's store; ``None`` without a class."""
        if self.backend is not None and self.url is not None:
            self.backend.bind(results, chords)
        return self.backend


class StoringApp(RecordClock, Protocol):
    """The parts of an app of which its backend is made."""

    @property
    def conf(self) -> Config: ...

    @property
    def driver(self) -> "Driver": ...

    @property
    def result_target(self) -> ResultTarget: ...
