"""Compression of message bodies and results, bounded when undone (protocol.md §3.3)."""

import zlib
from typing import Any

from canvas.errors import ConfigurationError, DecodeError
from canvas.text import pip_install

_STEP = 1 << 16


def compress(data: bytes, name: str) -> tuple[bytes, str]:
    """``(bytes, content type)``. Raises ConfigurationError for a name that is unknown or not installed."""
    kind = _ALIASES.get(name, name)
    match kind:
        case "application/x-gzip":
            return zlib.compress(data), kind  # what Celery calls gzip is a zlib stream
        case "application/x-bz2":
            return _bz2().compress(data), kind
        case "application/x-lzma":
            return _lzma().compress(data), kind
        case "application/zstd":
            return _zstd().compress(data), kind
        case "application/x-brotli":
            return _brotli().compress(data), kind
    raise ConfigurationError(f"unknown compression {name!r}: expected one of {', '.join(sorted(_ALIASES))}")


def decompress(data: bytes, content_type: str, *, max_bytes: int) -> bytes:
    """The original bytes. Raises DecodeError for bytes that are not of that kind or grow beyond ``max_bytes``."""
    kind = _ALIASES.get(content_type, content_type)
    try:
        match kind:
            case "application/x-gzip":
                return bounded(zlib.decompressobj(), data, kind, max_bytes)
            case "application/x-bz2":
                return bounded(_bz2().BZ2Decompressor(), data, kind, max_bytes)
            case "application/x-lzma":
                return _lzma_bounded(data, max_bytes)
            case "application/zstd":
                return _zstd_bounded(data, max_bytes)
            case "application/x-brotli":
                return _brotli_bounded(data, max_bytes)
    except (zlib.error, OSError, EOFError, ValueError) as exc:
        raise DecodeError(f"not {kind}: {exc}") from exc
    raise DecodeError(f"unknown compression {content_type!r:.100}: expected one of {', '.join(sorted(_ALIASES))}")


def bounded(decoder: Any, data: bytes, kind: str, limit: int) -> bytes:
    """Undo in steps, so that a bomb is refused before it has grown. ``kind``: what the data is, in messages.

    Raises DecodeError, and the errors of the decoder.
    """
    out, size, rest = [], 0, data
    while not decoder.eof:
        piece = decoder.decompress(rest, min(_STEP, limit + 1 - size) or 1)
        size += len(piece)
        if size > limit:
            raise DecodeError(f"{kind}: more than {limit:,} bytes when decompressed")
        rest = getattr(decoder, "unconsumed_tail", b"")
        if not piece and not rest and (not hasattr(decoder, "needs_input") or decoder.needs_input):
            break
        out.append(piece)
    if not decoder.eof:
        raise DecodeError(f"{kind}: the data ends too early")
    return b"".join(out)


def _lzma_bounded(data: bytes, limit: int) -> bytes:
    lzma = _lzma()
    try:
        return bounded(lzma.LZMADecompressor(), data, "application/x-lzma", limit)
    except lzma.LZMAError as exc:
        raise DecodeError(f"not application/x-lzma: {exc}") from exc


def _zstd_bounded(data: bytes, limit: int) -> bytes:
    zstd = _zstd()
    try:
        return bounded(zstd.ZstdDecompressor(), data, "application/zstd", limit)
    except zstd.ZstdError as exc:
        raise DecodeError(f"not application/zstd: {exc}") from exc


def _brotli_bounded(data: bytes, limit: int) -> bytes:
    brotli = _brotli()
    decoder = brotli.Decompressor()
    try:
        result: bytes = decoder.process(data, output_buffer_limit=limit + 1)
    except brotli.error as exc:
        raise DecodeError(f"not application/x-brotli: {exc}") from exc
    if len(result) > limit:
        raise DecodeError(f"application/x-brotli: more than {limit:,} bytes when decompressed")
    if not decoder.is_finished():
        raise DecodeError("application/x-brotli: the data ends too early")
    return result


def _bz2() -> Any:
    # Imported late: few programs compress with it.
    import bz2

    return bz2


def _lzma() -> Any:
    # Imported late: few programs compress with it.
    import lzma

    return lzma


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError as exc:
            raise ConfigurationError(f"zstd compression needs an extra: {pip_install('zstd')}") from exc
    return zstd


def _brotli() -> Any:
    try:
        import brotli
    except ImportError as exc:
        raise ConfigurationError(f"brotli compression needs an extra: {pip_install('brotli')}") from exc
    return brotli


_ALIASES = {
    "gzip": "application/x-gzip",
    "zlib": "application/x-gzip",
    "bzip2": "application/x-bz2",
    "bzip": "application/x-bz2",
    "lzma": "application/x-lzma",
    "xz": "application/x-lzma",
    "zstd": "application/zstd",
    "zstandard": "application/zstd",
    "brotli": "application/x-brotli",
}
