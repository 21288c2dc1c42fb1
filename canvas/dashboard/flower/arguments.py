"""The arguments of Flower's API, and its refusals."""

from collections.abc import Callable
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

_TRUE, _FALSE = frozenset({"y", "yes", "t", "true", "on", "1"}), frozenset({"n", "no", "f", "false", "off", "0"})


class FlowerError(Exception):
    """A refusal as Flower makes it: a status, and plain text."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status


async def on_flower_error(request: Request, exc: Exception) -> Response:
    """The answer for a refusal."""
    assert isinstance(exc, FlowerError)
    return PlainTextResponse(str(exc), exc.status)


def truth(text: str) -> bool:
    """A truth value. Raises ValueError."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"invalid truth value {text!r}")


class Arguments:
    """The parameters of a request's query, and of its body where that is a form; of several values the last one."""

    def __init__(self, found: dict[str, str]) -> None:
        self._found = found

    @classmethod
    async def of(cls, request: Request) -> "Arguments":
        """The parameters of a request."""
        found = dict(request.query_params)
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            from urllib.parse import parse_qsl

            body = (await request.body())[:100_000].decode(errors="replace")
            found |= dict(parse_qsl(body, keep_blank_values=True))
        return cls(found)

    def text(self, name: str, default: str | None = None, raw: bool = False) -> str | None:
        """Text with its special characters of HTML escaped, as Flower does; ``raw``: as it is."""
        value = self._found.get(name, default)
        return value if raw or not value else escape(value.strip())

    def required(self, name: str) -> str:
        """Text. Raises FlowerError without it."""
        value = self.text(name)
        if not value:
            raise FlowerError(400, f"Missing argument {name}")
        return value

    def value(self, name: str, kind: Callable[[str], Any], default: Any = None) -> Any:
        """A value of a kind. Raises FlowerError."""
        text = self.text(name)
        if text is None:
            return default
        try:
            return truth(text) if kind is bool else kind(text)
        except ValueError:
            name_of_kind = getattr(kind, "__name__", "value")
            raise FlowerError(400, f"Invalid argument '{text}' of type '{name_of_kind}'") from None
