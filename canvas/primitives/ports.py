"""The parts of an app and of a task that signatures need."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from canvas.config.config import Config


class SignatureTask(Protocol):
    """A registered task, as its signatures use it."""

    @property
    def sends_itself(self) -> bool: ...

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any: ...

    async def aapply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any: ...

    def AsyncResult(self, task_id: str, **kwargs: Any) -> Any: ...


class SignatureApp(Protocol):
    """An app that sends signatures, or runs them in this process."""

    @property
    def conf(self) -> Config: ...

    @property
    def tasks(self) -> Mapping[str, SignatureTask]: ...

    @property
    def plain_calls(self) -> Any: ...

    @property
    def oid(self) -> str: ...

    @property
    def AsyncResult(self) -> Any: ...

    @property
    def GroupResult(self) -> Any: ...

    def new_id(self) -> str: ...

    def apply_signature(
        self, sig: Any, args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any: ...

    async def aapply_signature(
        self, sig: Any, args: Iterable[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Any: ...

    def apply_eagerly(
        self, sig: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
    ) -> Any: ...
