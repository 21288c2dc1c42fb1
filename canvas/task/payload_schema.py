"""The type of a signal's payload, as a JSON schema: a program that sends a signal need not have the type."""

from typing import Any

from canvas.errors import CompositionError, ConfigurationError
from canvas.text import pip_install


def schema_of(model: Any, name: str) -> dict[str, Any]:
    """The JSON schema of a pydantic model or another type, for payloads of a signal. Raises CompositionError,
    ConfigurationError without pydantic."""
    try:
        from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
    except ImportError:
        raise ConfigurationError(f"{name}: a type for payloads needs pydantic: {pip_install('pydantic')}") from None
    try:
        return TypeAdapter(model).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError) as exc:
        raise CompositionError(f"{name}: model: {model!r:.100} has no JSON schema: {exc}") from None


def checked_payload(name: str, schema: dict[str, Any], payload: Any) -> Any:
    """``payload`` as JSON has it, also of a model's instance. Raises CompositionError where it is not what a node
    expects."""
    try:
        from jsonschema import Draft202012Validator
        from pydantic_core import PydanticSerializationError, to_jsonable_python
    except ImportError:
        raise ConfigurationError(
            f"{name} expects payloads of a type, which jsonschema checks: {pip_install('pydantic')}"
        ) from None
    try:
        plain = to_jsonable_python(payload, by_alias=True)
    except PydanticSerializationError as exc:
        raise CompositionError(f"{name}: payload: {exc}") from None
    error = next(iter(Draft202012Validator(schema).iter_errors(plain)), None)
    if error is not None:
        place = "".join(f"[{key!r}]" for key in error.absolute_path)
        raise CompositionError(f"{name}: payload{place}: {error.message:.200}")
    return plain
