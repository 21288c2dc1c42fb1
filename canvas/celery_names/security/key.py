"""Private keys that sign messages."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from canvas.celery_names.security.utils import reraise_errors


class PrivateKey:
    """An RSA key in PEM. Raises SignatureError for another text, kind of key or password."""

    def __init__(self, key: str | bytes, password: str | bytes | None = None) -> None:
        with reraise_errors("Invalid private key: {0!r}", (ValueError, TypeError)):
            found = load_pem_private_key(as_bytes(key), None if password is None else as_bytes(password))
            if not isinstance(found, rsa.RSAPrivateKey):
                raise ValueError(f"expected an RSA key; got {type(found).__name__}")
        self._key = found

    def sign(self, data: str | bytes, digest: Any) -> bytes:
        """The signature of ``data``; ``digest`` is a hash of cryptography."""
        with reraise_errors("Unable to sign data: {0!r}"):
            return self._key.sign(as_bytes(data), signature_padding(digest), digest)


def signature_padding(digest: Any) -> padding.PSS:
    """The padding of Celery's signatures."""
    return padding.PSS(mgf=padding.MGF1(digest), salt_length=padding.PSS.MAX_LENGTH)


def as_bytes(data: str | bytes) -> bytes:
    """Text in UTF-8; bytes as they are."""
    return data.encode() if isinstance(data, str) else data
