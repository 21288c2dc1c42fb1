"""Names of ``kombu.serialization`` and ``kombu.utils.json``. Types that are registered here are written by canvas."""

import json
import pickle
from collections.abc import Callable, Collection, Iterable
from types import SimpleNamespace
from typing import Any

from canvas.wire import codecs, typed_json

_encoders: dict[type, tuple[str | None, Callable[[Any], Any]]] = {}
_decoders: dict[str, Callable[[Any], Any]] = {}
"""The types of ``register_type``, which canvas' own JSON reads."""


def register_type(
    t: type, marker: str | None, encoder: Callable[[Any], Any], decoder: Callable[[Any], Any] = lambda d: d
) -> None:
    """Write values of a type in JSON, under ``marker``, and read them back. Without a marker they are written only."""
    _encoders[t] = (marker, encoder)
    if marker is not None:
        _decoders[marker] = decoder


class JSONEncoder(json.JSONEncoder):
    """``json.JSONEncoder`` that writes the types canvas writes."""

    def default(self, o: Any) -> Any:
        return json.loads(typed_json.dumps(o))


def json_dumps(s: Any, _dumps: Any = json.dumps, cls: Any = None, default_kwargs: Any = None, **kwargs: Any) -> str:
    """A value in JSON. Raises EncodeError."""
    return typed_json.dumps(s).decode()


def json_loads(s: Any, _loads: Any = json.loads, decode_bytes: bool = True, object_hook: Any = None) -> Any:
    """The value in JSON. Raises DecodeError."""
    return typed_json.loads(s.encode() if isinstance(s, str) else bytes(s))


def dumps(data: Any, serializer: str | None = None) -> tuple[str, str, Any]:
    """Content type, encoding, and ``data`` as they are sent: JSON, unless a serializer is named. Raises EncodeError."""
    if serializer is None and isinstance(data, bytes):
        return "application/data", "binary", data
    if serializer is None and isinstance(data, str):
        return "text/plain", "utf-8", data.encode()
    return codecs.encode_text(data, serializer or "json")


def loads(
    data: Any, content_type: str, content_encoding: str, accept: Collection[str] | None = None, force: bool = False
) -> Any:
    """The data that ``dumps`` has written. Raises DecodeError, and ContentDisallowed for a type that ``accept`` does
    not allow; without it, JSON and text are allowed."""
    if content_type == "text/plain" or (content_type == codecs.RAW and not codecs.registered(codecs.RAW)):
        return data.decode() if content_type == "text/plain" and isinstance(data, bytes) else data
    allowed = {"json", codecs.RAW} if accept is None else {*accept, codecs.RAW}
    written = data.encode() if isinstance(data, str) else bytes(data)
    return codecs.decode(written, content_type, accept=allowed | ({content_type} if force else set()))


def prepare_accept_content(content_types: Iterable[str] | None, name_to_type: Any = None) -> set[str] | None:
    """The content types of names of serializers. Raises ConfigurationError for an unknown one."""
    if content_types is None:
        return None
    return {one if "/" in one else codecs.named(one).content_type for one in content_types}


def pickle_loads(s: bytes, load: Any = None) -> Any:
    """The object in a pickle, which runs code: of a trusted source only."""
    return pickle.loads(s)


def allow(*_: Any, **__: Any) -> None:
    """Nothing: ``accept_content`` says which serializers an app accepts."""


# canvas asks kombu's registry for serializers that it does not know itself.
registry = SimpleNamespace(
    _encoders={}, _decoders={}, type_to_name={}, name_to_type={}, register=codecs.register,
    unregister=codecs.unregister, dumps=dumps, loads=loads, enable=allow, disable=allow,
)  # fmt: skip
pickle_protocol = pickle.HIGHEST_PROTOCOL
