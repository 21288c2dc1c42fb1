"""URLs of servers as they may be shown: without their passwords."""

import re

MASK = "**"
_NEXT = re.compile(r";(?=[A-Za-z][\w+.-]*://)")
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[\w.~-]*")


def split_urls(text: str) -> list[str]:
    """The URLs in ``"redis://a;redis://b"``. A ``;`` that no scheme follows belongs to the URL that it stands in."""
    return _NEXT.split(text)


def masked_url(text: str) -> str:
    """``text``, one URL or several with ``;`` between them, with its passwords replaced by ``**``.

    Everything up to the last ``@`` of a URL counts as its login, so that a password is masked even where it contains
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
