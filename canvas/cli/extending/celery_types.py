"""Names of ``celery.bin.base``: commands, options and types of the command line."""

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

EX_UNAVAILABLE = 69


class CeleryOption(click.Option):
    """An option that may name the group under which it is listed (``help_group``), and take its default from the
    context."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.help_group = kwargs.pop("help_group", None)
        self.default_value_from_context = kwargs.pop("default_value_from_context", None)
        super().__init__(*args, **kwargs)

    def get_default(self, ctx: click.Context, *args: Any, **kwargs: Any) -> Any:
        if self.default_value_from_context:
            self.default = (ctx.obj if isinstance(ctx.obj, dict) else vars(ctx.obj))[self.default_value_from_context]
        return super().get_default(ctx, *args, **kwargs)


DaemonOption = CeleryOption


class CeleryCommand(click.Command):
    """A command."""


CeleryDaemonCommand = CeleryCommand


class CommaSeparatedList(click.ParamType):  # type: ignore[type-arg]
    """Words between commas, as a list."""

    name = "comma separated list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


class JsonArray(click.ParamType):  # type: ignore[type-arg]
    """A list, as JSON."""

    name = "json array"
    kind: type = list

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, self.kind):
            return value
        try:
            found = json.loads(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)
        if not isinstance(found, self.kind):
            self.fail(f"expected a JSON {self.name.removeprefix('json ')}; got {value}", param, ctx)
        return found


class JsonObject(JsonArray):
    """A dict, as JSON."""

    name = "json object"
    kind = dict


COMMA_SEPARATED_LIST = CommaSeparatedList()
JSON_ARRAY = JsonArray()
JSON_OBJECT = JsonObject()


class LogLevel(click.Choice):  # type: ignore[type-arg]
    """The name of a level, as its number."""

    def __init__(self) -> None:
        super().__init__(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL"))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        return getattr(logging, super().convert(value.upper(), param, ctx))


class ISO8601DateTime(click.ParamType):  # type: ignore[type-arg]
    """A time in ISO 8601."""

    name = "iso-8601"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return datetime.fromisoformat(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class ISO8601DateTimeOrFloat(ISO8601DateTime):
    """A time in ISO 8601, or a number."""

    name = "iso-8601 or float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return float(value)
        except (TypeError, ValueError):
            return super().convert(value, param, ctx)


LOG_LEVEL = LogLevel()
ISO8601 = ISO8601DateTime()
ISO8601_OR_FLOAT = ISO8601DateTimeOrFloat()


class CeleryCommandException(click.ClickException):
    """An error of a command, which ends the program with ``exit_code``."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message=message)
        vars(self)["exit_code"] = exit_code


def handle_preload_options(f: Callable[..., Any]) -> Callable[..., Any]:
    """The command as it is: canvas itself hands the app's ``user_options["preload"]`` to receivers."""
    return f
