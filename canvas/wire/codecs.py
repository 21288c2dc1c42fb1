"""Content types and their codecs; what is accepted is named by the caller, never by the message.

Sources: protocol.md §3.1.
"""

import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from canvas.errors import ConfigurationError, ContentDisallowed, DecodeError, EncodeError
from canvas.interruptions import raise_interruption
from canvas.text import pip_install
from canvas.wire import pickling, typed_json
from canvas.wire.depth import MAX_DEPTH, check_depth

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Codec:
    """A serializer: its name, what the wire calls it, and both directions."""

    name: str
    content_type: str
    content_encoding: str
    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]


def encode(value: Any, serializer: str) -> tuple[str, str, bytes]:
    """``(content type, content encoding, bytes)``.

    Raises EncodeError for a value the serializer cannot write, ConfigurationError for an unknown serializer.
    """
    codec = _BY_NAME.get(serializer) or named(serializer)
    return codec.content_type, codec.content_encoding, codec.dumps(value)


def encode_within(value: Any, serializer: str, max_depth: int) -> bytes:
    """The bytes of a value. Raises as ``encode`` does, and EncodeError for JSON that ``decode`` would refuse as too
    deep."""
    content_type, _, data = encode(value, serializer)
    if content_type == _JSON and len(data) > max_depth:
        check_depth(data, max_depth, EncodeError)
    return data


def encode_text(value: Any, serializer: str) -> tuple[str, str, bytes | str]:
    """Like ``encode``, with text instead of bytes from a serializer that writes text: the form of kombu's ``dumps``."""
    content_type, encoding, written = encode(value, serializer)
    return content_type, encoding, written.decode() if encoding == "utf-8" else written


def can_write(value: Any, serializer: str) -> bool:
    """Whether the serializer has a form for ``value``."""
    try:
        encode(value, serializer)
    except EncodeError:
        return False
    return True


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise DecodeError(f"not text in UTF-8: {exc}") from None


def decode(data: bytes, content_type: str, *, accept: Collection[str], max_depth: int = MAX_DEPTH) -> Any:
    """The value in ``data``. Raises ContentDisallowed for a type not in ``accept`` (names or content types)."""
    if content_type == _JSON and "json" in accept:
        return typed_json.loads(data, max_depth=max_depth)
    codec = _of_type(content_type)
    if codec is None and content_type in _ALWAYS:
        return _text(data) if content_type == "text/plain" else data
    if codec is None or (codec.name not in accept and content_type not in accept):
        raise ContentDisallowed(
            f"content type {content_type!r:.100} is not accepted: accept_content allows {', '.join(sorted(accept))}"
            f"{f'; add {codec.name!r} to it if you trust every sender' if codec is not None else ''}"
        )
    return codec.loads(data)


def accepted(names: Iterable[str]) -> frozenset[str]:
    """The names and content types that ``decode`` accepts, for those in settings.

    A serializer that a program has registered for the content type of JSON reads all JSON, as with kombu: then the name
    ``json`` stands for that content type, and not for canvas' own serializer.
    """
    given = frozenset(names)
    codec = _of_type(_JSON)
    if codec is None or codec.name == "json" or not given & {"json", _JSON, codec.name}:
        return given
    return (given - {"json"}) | {_JSON}


def named(serializer: str) -> Codec:
    """The codec of a serializer name or content type. Raises ConfigurationError naming those there are."""
    codec = _BY_NAME.get(serializer) or _BY_TYPE.get(serializer) or _of_kombu(serializer)
    if codec is None and serializer == SIGNED:
        raise ConfigurationError("the serializer auth is not set up: call app.setup_security() first")
    if codec is None:
        raise ConfigurationError(f"unknown serializer {serializer!r}: expected one of {', '.join(_BY_NAME)}")
    return codec


def of_control(task_serializer: str) -> str:
    """The serializer of remote control in an app whose messages of tasks have ``task_serializer``: signed as these."""
    return SIGNED if task_serializer == SIGNED else "json"


def is_known(serializer: str) -> bool:
    """Whether a name or content type is one that ``accept`` can mean."""
    known = serializer in _BY_NAME or serializer in _BY_TYPE or serializer in _ALWAYS or serializer == SIGNED
    return known or _of_kombu(serializer) is not None


def register(
    name: str, encoder: Callable[[Any], Any], decoder: Callable[[Any], Any], content_type: str,
    content_encoding: str = "utf-8",
) -> None:  # fmt: skip
    """Add a serializer. ``encoder`` returns text or bytes; ``decoder`` gets text, unless ``content_encoding`` is
    ``binary`` or ``ascii-8bit``."""
    codec = _made(name, encoder, decoder, content_type, content_encoding)
    _BY_NAME[name] = _BY_TYPE[content_type] = codec


def registered(content_type: str) -> bool:
    """Whether a serializer reads data of this type."""
    return content_type in _BY_TYPE


def unregister(name: str) -> None:
    """Remove a serializer that ``register`` added. Raises ConfigurationError for others."""
    codec = _BY_NAME.get(name)
    if codec is None or codec in _CODECS:
        raise ConfigurationError(f"unregister: expected a registered serializer; got {name!r}")
    del _BY_NAME[name], _BY_TYPE[codec.content_type]
    _BY_TYPE.update((own.content_type, own) for own in _CODECS if own.content_type == codec.content_type)


def _made(name: str, encoder: Any, decoder: Any, content_type: str, content_encoding: str) -> Codec:
    binary = content_encoding in _BINARY

    def dumps(value: Any) -> bytes:
        try:
            data = encoder(value)
        except Exception as exc:
            raise_interruption(exc)
            raise EncodeError(f"cannot be written as {name}: {exc}") from exc
        return data.encode(content_encoding) if isinstance(data, str) else bytes(data)

    def loads(data: bytes) -> Any:
        try:
            return decoder(data if binary else data.decode(content_encoding))
        except Exception as exc:
            raise_interruption(exc)
            raise DecodeError(f"not {name}: {type(exc).__name__}: {exc}") from exc

    return Codec(name, content_type, content_encoding, dumps, loads)


def _of_type(content_type: str) -> Codec | None:
    """The serializer that reads a content type: the one registered last, with canvas or with kombu."""
    registry = getattr(sys.modules.get("kombu.serialization"), "registry", None)
    name = None if registry is None else registry.type_to_name.get(content_type)
    found = None if name is None or name in _BY_NAME else _of_kombu(content_type)
    return found or _BY_TYPE.get(content_type)


def _of_kombu(serializer: str) -> Codec | None:
    """A serializer that the program has registered with kombu, by its name or content type."""
    registry = getattr(sys.modules.get("kombu.serialization"), "registry", None)
    if registry is None:
        return None
    name = registry.type_to_name.get(serializer, serializer)
    encoders, decoders = (vars(registry)[f"_{kind}coders"] for kind in ("en", "de"))
    if name not in encoders:
        return None
    content_type, content_encoding, encoder = encoders[name]
    return _made(name, encoder, decoders[content_type], content_type, content_encoding)


def _msgpack_dumps(value: Any) -> bytes:
    # Imported late: most programs write JSON only.
    import msgpack

    try:
        # A group's length is that of its members: msgpack would write it as a map of that many entries.
        return msgpack.packb(value, use_bin_type=True, strict_types=True, default=_plain)  # type: ignore[no-any-return]
    except (TypeError, ValueError, OverflowError) as exc:
        raise EncodeError(f"cannot be written as msgpack: {exc}") from exc


def _plain(value: Any) -> Any:
    """A value of a subclass, such as a signature, as one of its built-in class. Raises TypeError for other values."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    kinds: tuple[Any, ...] = (str, int, float, bytes)
    for kind in kinds:
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"can not serialize {type(value).__name__!r} object")


def _msgpack_loads(data: bytes) -> Any:
    import msgpack

    try:
        return msgpack.unpackb(data, raw=False)
    except Exception as exc:
        raise_interruption(exc)
        # msgpack raises ValueError, its own subclasses, and RecursionError or TypeError for map keys
        raise DecodeError(f"not msgpack: {type(exc).__name__}: {exc}") from exc


def _yaml_dumps(value: Any) -> bytes:
    try:
        return _yaml().dump(value, Dumper=_yaml_dumper()).encode()  # type: ignore[no-any-return]
    except _yaml().YAMLError as exc:
        raise EncodeError(f"cannot be written as yaml: {exc}") from exc


def _yaml_loads(data: bytes) -> Any:
    try:
        return _yaml().safe_load(data)
    except _yaml().YAMLError as exc:
        raise DecodeError(f"not yaml: {exc}") from exc


@cache
def _yaml_dumper() -> Any:
    """YAML's safe dumper, which also writes subclasses of dict and list, such as signatures and their members."""
    dumper: Any = type("Dumper", (_yaml().SafeDumper,), {})
    dumper.add_multi_representer(dict, lambda written, value: written.represent_dict(dict(value)))
    dumper.add_multi_representer(list, lambda written, value: written.represent_list(list(value)))
    return dumper


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as exc:
        raise ConfigurationError(f"the yaml serializer needs PyYAML: {pip_install('yaml')}") from exc
    return yaml


_CODECS = (
    Codec("json", _JSON, "utf-8", typed_json.dumps, typed_json.loads),
    Codec("msgpack", "application/x-msgpack", "binary", _msgpack_dumps, _msgpack_loads),
    Codec("yaml", "application/x-yaml", "utf-8", _yaml_dumps, _yaml_loads),
    Codec("pickle", "application/x-python-serialize", "binary", pickling.dumps, pickling.loads),
)
_BY_NAME = {codec.name: codec for codec in _CODECS}
_BY_TYPE = {codec.content_type: codec for codec in _CODECS}
_BINARY = ("binary", "ascii-8bit")
SIGNED = "auth"
"""The serializer that ``app.setup_security`` registers, after the settings have named it."""
RAW = "application/data"
"""The content type of bytes, and of the serializer that a program registers for it."""
_ALWAYS = frozenset({RAW, "text/plain"})
