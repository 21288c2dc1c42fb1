"""The parts of an app that workflows and their runs are made with."""

from collections.abc import Mapping
from typing import Any, Protocol

from canvas.primitives.signature import Signature
from canvas.producer.planner import ClientApp
from canvas.producer.sender import Sender
from canvas.remote.control import Control
from canvas.task.task import Task
from canvas.wire.signing import Signer
from canvas.workflows.store import RunStore


class WorkflowServices(ClientApp, Protocol):
    """The parts of an app that runs are started, continued and read with."""

    @property
    def run_store(self) -> RunStore: ...

    @property
    def sender(self) -> Sender: ...

    @property
    def signer(self) -> Signer: ...

    @property
    def control(self) -> Control: ...

    def signature(self, *args: Any, **kwargs: Any) -> Signature[Any]: ...
    def exec_options(self, name: str) -> Mapping[str, Any]: ...


class ComposingApp(WorkflowServices, Protocol):
    """An app whose tasks are composed into workflows."""

    @property
    def registry(self) -> Mapping[str, Task[Any]]: ...
