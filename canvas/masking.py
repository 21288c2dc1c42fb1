"""URLs of servers and values of settings as they may be shown: without their secrets."""

import re
from collections.abc import Mapping
from typing import Any

MASK = "**"
_NEXT = re.compile(r";(?=[A-Za-z][\w+.-]*://)")
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)
_SECRET = ("password", "secret", "token", "security_key", "access_key", "signing_key")
_HIDDEN = ("api", "token", "key", "secret", "pass", "signature", "database")
_PLAIN_NAME = re.compile(r"[\w.~-]*")


def split_urls(text: str) -> list[str]:
    """The URLs in ``"redis://a;redis://b"``. A ``;`` that no scheme follows belongs to the URL that it stands in."""
    return _NEXT.split(text)


def masked_url(text: str) -> str:
    """``text``, one URL or several with ``;`` between them, with its passwords replaced by ``**``.

    Everything up to the last ``@`` of a URL counts as its login, so that a password is masked even if it contains
    characters that should have been percent-encoded. Never raises.
    """
    return ";".join(_masked_one(part) for part in split_urls(text))


def _masked_one(url: str) -> str:
    scheme, separator, rest = _SECRET_PARAMETER.sub(rf"\1{MASK}", url).partition("://")
    login, at, host = rest.rpartition("@")
    if not at:
        return f"{scheme}{separator}{rest}"
    user, colon, _ = login.partition(":")
    if _PLAIN_NAME.fullmatch(user) is None:
        user, colon = "", ":"
    return f"{scheme}{separator}{user}{colon and f':{MASK}'}@{host}"


def masked_setting(name: str, value: Any, known: bool = True) -> Any:
    """A setting's value with its secrets masked: all of it if the name says so, else the passwords in its URLs.

    ``known``: canvas defines the setting; otherwise names are judged as by Celery's ``HIDDEN_SETTINGS``.
    """
    if value and (is_secret(name) or (not known and any(part in name.lower() for part in _HIDDEN))):
        return "********"
    if isinstance(value, Mapping):
        return {_masked_key(key): masked_setting(str(key), inner) for key, inner in value.items()}
    if isinstance(value, str) and "://" in value:
        return masked_url(value)
    return value


def _masked_key(key: Any) -> Any:
    return masked_url(key) if isinstance(key, str) and "://" in key else key


def is_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret."""
    return any(part in name.lower() for part in _SECRET)
