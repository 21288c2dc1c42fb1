"""The parts of an app that workflows and their runs are made with."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from canvas.drivers.ports import Driver
from canvas.primitives.ports import SignatureApp
from canvas.primitives.signature import Signature
from canvas.producer.planner import Announcer
from canvas.producer.sender import Sender
from canvas.remote.control import Control
from canvas.result import AsyncResult
from canvas.result.backend import Backend
from canvas.task.task import Task
from canvas.wire.signing import Signer
from canvas.workflows.store import RunStore


class WorkflowServices(SignatureApp, Protocol):
    """The parts of an app that runs are started, continued and read with. Some are made again when settings change."""

    @property
    def tasks(self) -> Mapping[str, Task[Any]]: ...

    @property
    def driver(self) -> Driver: ...

    @property
    def backend(self) -> Backend: ...

    @property
    def runs(self) -> RunStore: ...

    @property
    def sender(self) -> Sender: ...

    @property
    def sent_events(self) -> Announcer: ...

    @property
    def signer(self) -> Signer: ...

    @property
    def control(self) -> Control: ...

    @property
    def AsyncResult(self) -> type[AsyncResult]: ...

    def signature(self, *args: Any, **kwargs: Any) -> Signature[Any]: ...

    def now(self) -> datetime: ...


class ComposingApp(WorkflowServices, Protocol):
    """An app whose tasks are composed into workflows."""

    @property
    def registry(self) -> Mapping[str, Task[Any]]: ...
