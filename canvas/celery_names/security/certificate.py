"""Certificates that check the signatures of messages, and stores of them."""

import glob
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import load_pem_x509_certificate

from canvas.celery_names.security.key import as_bytes, signature_padding
from canvas.celery_names.security.utils import reraise_errors
from canvas.errors import SignatureError


class Certificate:
    """An X.509 certificate of an RSA key, in PEM. Raises SignatureError for another text or kind of key."""

    def __init__(self, cert: str | bytes) -> None:
        with reraise_errors("Invalid certificate: {0!r}", (ValueError,)):
            self._cert = load_pem_x509_certificate(as_bytes(cert))
            key = self._cert.public_key()
            if not isinstance(key, rsa.RSAPublicKey):
                raise ValueError(f"expected a certificate of an RSA key; got {type(key).__name__}")
        self._key = key

    def has_expired(self) -> bool:
        """Whether the time of the certificate has passed."""
        return datetime.now(UTC) >= self._cert.not_valid_after_utc

    def get_pubkey(self) -> rsa.RSAPublicKey:
        """The public key."""
        return self._key

    def get_serial_number(self) -> int:
        """The serial number."""
        return self._cert.serial_number

    def get_issuer(self) -> str:
        """The values of the issuer's name, separated by spaces."""
        return " ".join(str(part.value) for part in self._cert.issuer)

    def get_id(self) -> str:
        """Issuer and serial number, which name the certificate in messages."""
        return f"{self.get_issuer()} {self.get_serial_number()}"

    def verify(self, data: str | bytes, signature: bytes, digest: Any) -> None:
        """Raises SignatureError for a signature that the key has not made of ``data``, and after its expiry."""
        if self.has_expired():
            raise SignatureError(f"Expired certificate: {self.get_id()!r}")
        with reraise_errors("Bad signature: {0!r}"):
            self._key.verify(signature, as_bytes(data), signature_padding(digest), digest)


class CertStore:
    """Certificates by their ids."""

    def __init__(self) -> None:
        self._certs: dict[str, Certificate] = {}

    def itercerts(self) -> Iterator[Certificate]:
        """The certificates."""
        yield from self._certs.values()

    def __getitem__(self, id: str | bytes) -> Certificate:
        name = as_bytes(id).decode()
        try:
            return self._certs[name]
        except KeyError:
            raise SignatureError(f"Unknown certificate: {name!r}") from None

    def add_cert(self, cert: Certificate) -> None:
        """Add a certificate. Raises SignatureError for a second one with its id."""
        name = cert.get_id()
        if name in self._certs:
            raise SignatureError(f"Duplicate certificate: {name!r}")
        self._certs[name] = cert


class FSCertStore(CertStore):
    """The certificates in files: in a folder, or those whose paths match a pattern.

    Raises SignatureError for a file that is not a certificate, or a certificate that has expired.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        pattern = os.path.join(path, "*") if os.path.isdir(path) else path
        for name in glob.glob(pattern):
            cert = Certificate(Path(name).read_text())
            if cert.has_expired():
                raise SignatureError(f"Expired certificate: {cert.get_id()!r}")
            self.add_cert(cert)
