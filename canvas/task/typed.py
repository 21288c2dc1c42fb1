"""The signatures that tasks make, as type checkers see them. At run time all of them are ``Signature``."""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, NoReturn, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from canvas.primitives.composite import Composite
from canvas.primitives.signature import Signature
from canvas.result import AsyncResult, EagerResult

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
R = TypeVar("R")
S = TypeVar("S")
Q = ParamSpec("Q")
A_contra = TypeVar("A_contra", contravariant=True)
B_contra = TypeVar("B_contra", contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
Args: TypeAlias = Iterable[Any] | None
Kwargs: TypeAlias = Mapping[str, Any] | None


class TakesOne(Protocol[A_contra, R_co]):
    """A task whose first argument is of type ``A``."""

    def __call__(self, first: A_contra, /, *args: Any, **kwargs: Any) -> R_co: ...


class TakesMore(Protocol[A_contra, Q, R_co]):
    """A task whose first argument is of type ``A``, and whose further ones are ``Q``."""

    def __call__(self, first: A_contra, /, *args: Q.args, **kwargs: Q.kwargs) -> R_co: ...


class TakesTwoMore(Protocol[A_contra, B_contra, Q, R_co]):
    """A task with two arguments before ``Q``."""

    def __call__(self, first: A_contra, second: B_contra, /, *args: Q.args, **kwargs: Q.kwargs) -> R_co: ...


class TakesThreeMore(Protocol[A_contra, B_contra, C_contra, Q, R_co]):
    """A task with three arguments before ``Q``."""

    def __call__(self, a: A_contra, b: B_contra, c: C_contra, /, *args: Q.args, **kwargs: Q.kwargs) -> R_co: ...


class TakesTwo(Protocol[A_contra, B_contra, R_co]):
    """A task whose first arguments are of the types ``A`` and ``B``."""

    def __call__(self, first: A_contra, second: B_contra, /, *args: Any, **kwargs: Any) -> R_co: ...


class TakesThree(Protocol[A_contra, B_contra, C_contra, R_co]):
    """A task whose first arguments are of the types ``A``, ``B`` and ``C``."""

    def __call__(self, a: A_contra, b: B_contra, c: C_contra, /, *args: Any, **kwargs: Any) -> R_co: ...


class _Sending(Signature[R]):
    """A signature whose value has a type."""

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[R]: ...  # type: ignore[empty-body]
    def apply_async(self, args: Args = None, kwargs: Kwargs = None, **options: Any) -> AsyncResult[R]: ...  # type: ignore[empty-body]
    async def adelay(self, *args: Any, **kwargs: Any) -> AsyncResult[R]: ...  # type: ignore[empty-body]
    async def aapply_async(self, args: Args = None, kwargs: Kwargs = None, **options: Any) -> AsyncResult[R]: ...  # type: ignore[empty-body]
    def apply(self, args: Args = None, kwargs: Kwargs = None, **options: Any) -> EagerResult[R]: ...  # type: ignore[empty-body]

    @overload  # type: ignore[override]
    def __or__(self, other: "Step[R, S]") -> "Call[S]": ...
    @overload
    def __or__(self, other: "Call[S]") -> "Call[S]": ...
    @overload
    def __or__(self, other: Composite[Any]) -> Any: ...
    def __or__(self, other: Any) -> Any: ...
    def __ror__(self, other: NoReturn) -> Any: ...  # type: ignore[override]


class Call(_Sending[R]):
    """A call with arguments: ``add.s(1, 2)``, also ``add.si()``, and a chain of which this is the value."""


class Step(_Sending[R], Generic[A, R]):
    """A call without arguments, ``double.s()``: in a chain its first argument is a value of type ``A``."""
