"""The serializer ``auth``: data as another serializer writes it, with a signature and the signer's name."""

from base64 import b64decode, b64encode
from contextlib import suppress
from typing import Any

from canvas.app.connection import of_kombu
from canvas.celery_names.security.certificate import Certificate, CertStore, FSCertStore
from canvas.celery_names.security.key import PrivateKey, as_bytes
from canvas.celery_names.security.utils import get_digest_algorithm, reraise_errors
from canvas.wire import codecs

_SEPARATOR = b"\x00\x01"
_ENCODING = "utf-8"


class SecureSerializer:
    """Signs with a key, and checks signatures by a store of certificates."""

    def __init__(
        self, key: PrivateKey | None = None, cert: Certificate | None = None, cert_store: CertStore | None = None,
        digest: str = "sha256", serializer: str = "json",
    ) -> None:  # fmt: skip
        """``key`` and ``cert`` serve to write, ``cert_store`` to read; ``serializer`` writes the data itself."""
        self._key, self._cert, self._store = key, cert, cert_store
        self._digest = get_digest_algorithm(digest)
        self._serializer = serializer

    def serialize(self, data: Any) -> bytes:
        """Signed data. Raises SignatureError."""
        with reraise_errors("Unable to serialize: {0!r}", (Exception,)):
            if self._key is None or self._cert is None:
                raise ValueError("expected a key and a certificate")
            content_type, encoding, body = codecs.encode(data, self._serializer)
            signature, signer = self._key.sign(body, self._digest), self._cert.get_id().encode()
            parts = b64encode(signer), b64encode(signature), content_type.encode(), encoding.encode(), body
            return b64encode(_SEPARATOR.join(parts))

    def deserialize(self, data: str | bytes) -> Any:
        """The data, once its signature has been checked. Raises SignatureError for one that the named signer did not
        make, and DecodeError for data that its serializer cannot read."""
        with reraise_errors("Unable to deserialize: {0!r}", (Exception,)):
            if self._store is None:
                raise ValueError("expected a store of certificates")
            parts = b64decode(as_bytes(data)).split(_SEPARATOR, maxsplit=4)
            signer, signature, content_type, _, body = parts
            self._store[b64decode(signer)].verify(body, b64decode(signature), self._digest)
        kind = content_type.decode()
        return codecs.decode(body, kind, accept=(kind,))


def register_auth(
    key: str | None = None, key_password: str | bytes | None = None, cert: str | None = None, store: str | None = None,
    digest: str = "sha256", serializer: str = "json",
) -> None:  # fmt: skip
    """Register the serializer ``auth`` with canvas, and with kombu where it is installed.

    ``key`` and ``cert`` are texts in PEM, ``store`` is a path. Raises SignatureError for one that cannot be read.
    """
    made = SecureSerializer(
        PrivateKey(key, key_password) if key else None, Certificate(cert) if cert else None,
        FSCertStore(store) if store else None, digest, serializer,
    )  # fmt: skip
    codecs.register(codecs.SIGNED, made.serialize, made.deserialize, codecs.RAW, _ENCODING)
    with suppress(ImportError):
        registry = of_kombu("kombu.serialization:registry")
        registry.register(codecs.SIGNED, made.serialize, made.deserialize, codecs.RAW, _ENCODING)
        registry._set_default_serializer(codecs.SIGNED)
