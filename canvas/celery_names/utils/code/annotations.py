"""Names of ``celery.utils.annotations``: types in annotations."""

import types
import typing
from inspect import isclass
from typing import Any


def is_none_type(value: Any) -> bool:
    return value is types.NoneType


def get_optional_arg(annotation: Any) -> Any:
    """``T`` of ``Optional[T]`` or ``T | None``; ``None`` for other annotations."""
    members = typing.get_args(annotation)
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType) or len(members) != 2:
        return None
    others = [member for member in members if not is_none_type(member)]
    return others[0] if len(others) == 1 else None


def annotation_is_class(annotation: Any) -> bool:
    """Whether ``isinstance`` takes an annotation."""
    return isclass(annotation) and not isinstance(annotation, types.GenericAlias)


def annotation_issubclass(annotation: Any, cls: type) -> bool:
    """Whether an annotation is a class below ``cls``."""
    return annotation_is_class(annotation) and issubclass(annotation, cls)
