"""``celery.security``: messages that are signed with a key and checked by certificates, the serializer ``auth``."""

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from canvas.app.connection import of_kombu
from canvas.celery_names.parts.apps import app_or_default
from canvas.errors import ConfigurationError
from canvas.text import pip_install

if TYPE_CHECKING:
    from canvas.app.application import Canvas


def setup_security(
    allowed_serializers: Iterable[str] | None = None, key: str | None = None, key_password: str | bytes | None = None,
    cert: str | None = None, store: str | None = None, digest: str | None = None, serializer: str = "json",
    app: "Canvas | None" = None,
) -> None:  # fmt: skip
    """Register the serializer ``auth``, which signs what ``serializer`` writes.

    Args:
        allowed_serializers: kombu's serializers that stay enabled beside ``json``, where kombu is installed.
        key: The path of the private key; by default the setting ``security_key``.
        key_password: Its password; ``security_key_password``.
        cert: The path of the certificate; ``security_certificate``.
        store: The folder of the certificates that are trusted, or a pattern of paths; ``security_cert_store``.
        digest: The name of a hash; ``security_digest``, "sha256".
        app: By default the current app. It needs ``task_serializer = "auth"`` and ``accept_content = ["auth"]``.

    Raises:
        ConfigurationError: A setting is missing, or cryptography is not installed.
        SignatureError: A key or certificate cannot be read, or has expired.
    """
    conf = app_or_default(app).conf
    disable_untrusted_serializers(allowed_serializers)
    if conf.task_serializer != "auth" or list(conf.accept_content or ()) != ["auth"]:
        raise ConfigurationError(
            "setup_security: expected task_serializer = 'auth' and accept_content = ['auth']; got "
            f"{conf.task_serializer!r} and {list(conf.accept_content or ())!r}: unsigned messages would be accepted"
        )
    key, cert = key or conf.security_key, cert or conf.security_certificate
    store = store or conf.security_cert_store
    if not (key and cert and store):
        raise ConfigurationError(
            "setup_security: expected the settings security_key, security_certificate and security_cert_store"
        )
    try:
        # Imported late: most programs do without cryptography.
        from canvas.celery_names.security.serialization import register_auth
    except ModuleNotFoundError as exc:
        raise ConfigurationError(f"setup_security needs cryptography: {pip_install('auth')}") from exc
    with open(key) as of_key, open(cert) as of_cert:
        password = key_password or conf.security_key_password
        register_auth(of_key.read(), password, of_cert.read(), store, digest or conf.security_digest, serializer)


def disable_untrusted_serializers(whitelist: Iterable[str] | None = None) -> None:
    """Have kombu, where it is installed, read JSON and the serializers of ``whitelist`` only. An app of canvas reads
    the serializers that its setting ``accept_content`` names."""
    with suppress(ImportError):
        of_kombu("kombu.serialization:disable_insecure_serializers")(whitelist)
