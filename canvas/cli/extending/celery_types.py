"""Names of ``celery.bin.base``: commands, options and types of the command line."""

import json
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
