"""Hashes, and errors of cryptography."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.exceptions import InvalidKey, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from canvas.errors import SignatureError


def get_digest_algorithm(digest: str = "sha256") -> Any:
    """The hash of cryptography with a name, in lower or upper case. Raises AttributeError for an unknown one."""
    return getattr(hashes, digest.upper())()


@contextmanager
def reraise_errors(msg: str = "{0!r}", errors: tuple[type[Exception], ...] | None = None) -> Iterator[None]:
    """Raise SignatureError, with ``msg``, in place of ``errors``: by default those of cryptography."""
    refused = (InvalidKey, InvalidSignature, UnsupportedAlgorithm) if errors is None else errors
    try:
        yield
    except refused as exc:
        raise SignatureError(msg.format(exc)) from exc
