"""Settings: Celery's lower-case names, and the upper-case ones they had before, checked as they come in, with a word on
where a wrong one came from.

Later sources win: defaults, the configuration object, the environment (``CELERY_…``, then ``CANVAS_…``), keyword
arguments and assignment.
"""

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from types import ModuleType
from typing import Any

from canvas.errors import InvalidSetting, NoSetting, UnknownSetting
from canvas.routing import Router
from canvas.settings import SETTINGS

_OLD = {setting.old: name for name, setting in SETTINGS.items() if setting.old}
_OLD.update({name.upper(): name for name in SETTINGS if name.startswith("broker_")})
_PASSWORD = re.compile(r"([?&]password=)[^&#]*", re.IGNORECASE)
_SECRET = ("password", "secret", "token", "security_key", "access_key", "signing_key")


class Config:
    """The settings of an app, as attributes and as items; assign to change them.

    Raises UnknownSetting (suggesting the nearest name) and InvalidSetting.
    """

    def __init__(self) -> None:
        for name, setting in SETTINGS.items():
            default = setting.default
            self.__dict__[name] = default.copy() if isinstance(default, dict | list) else default
        self.__dict__["_given"] = {}
        self.__dict__["_assigned"] = {}

    @classmethod
    def load(
        cls,
        *,
        obj: Any = None,
        namespace: str | None = None,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> "Config":
        """Settings from all sources; ``environ`` is read only when given."""
        conf = cls()
        if obj is not None:
            for name, value in _from_object(obj, namespace).items():
                conf._set(name, value, "the configuration object")
        for prefix in ("CELERY_", "CANVAS_"):
            for name, text in _from_environment(environ or {}, prefix).items():
                conf._set(name, parse(name, text, prefix), f"environment variable {prefix}{name.upper()}")
        for name, value in (overrides or {}).items():
            conf._set(name, value, "a keyword argument")
        return conf

    def _set(self, name: str, value: Any, source: str) -> None:
        name = _OLD.get(name, name)
        setting = SETTINGS.get(name)
        if setting is None:
            raise UnknownSetting(_unknown(name, source))
        checked = _CHECKS[setting.kind](value)
        if checked is _WRONG:
            secret = _is_secret(name) or name.endswith(("_url", "_backend"))  # an address may hold a password
            shown = f"a value of type {type(value).__name__}" if secret else repr(value)[:100]
            raise InvalidSetting(f"{name}: expected {_EXPECTED[setting.kind]}; got {shown} from {source}")
        self.__dict__[name] = checked
        self.__dict__["_given"][name] = checked

    def _assign(self, name: str, value: Any, source: str) -> None:
        self._set(name, value, source)
        self._assigned[name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        self._assign(name, value, "an assignment")

    __setitem__ = __setattr__

    def __getattr__(self, name: str) -> Any:
        if name in _OLD:
            return self.__dict__[_OLD[name]]
        raise NoSetting(_unknown(name, "app.conf"))

    def __getitem__(self, name: str) -> Any:
        try:
            return self.__dict__[_OLD.get(name, name)]
        except KeyError:
            raise NoSetting(_unknown(name, "app.conf")) from None

    def __contains__(self, name: object) -> bool:
        return name in SETTINGS or name in _OLD

    def __iter__(self) -> Iterator[str]:
        return iter(SETTINGS)

    def __len__(self) -> int:
        return len(SETTINGS)

    def keys(self) -> list[str]:
        return list(SETTINGS)

    def values(self) -> list[Any]:
        return [self.__dict__[name] for name in SETTINGS]

    def items(self) -> list[tuple[str, Any]]:
        return [(name, self.__dict__[name]) for name in SETTINGS]

    def setdefault(self, name: str, default: Any = None) -> Any:
        """A setting that was given; ``default``, and so it is from now on, for one that was not."""
        name = _OLD.get(name, name)
        if name not in self._given:
            self._assign(name, default, "setdefault()")
        return self.__dict__[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A setting, or ``default`` for a name that is none."""
        name = _OLD.get(name, name)
        return self.__dict__.get(name, default) if name in SETTINGS else default

    def update(self, *sources: Mapping[str, Any], **settings: Any) -> None:
        """Set many at once."""
        for source in (*sources, settings):
            for name, value in source.items():
                self._assign(name, value, "update()")

    def assigned(self) -> dict[str, Any]:
        """What was assigned, as opposed to loaded."""
        return dict(self._assigned)

    def changed(self) -> dict[str, Any]:
        """The settings that were given, as opposed to left at their defaults."""
        return dict(self._given)

    @property
    def changes(self) -> dict[str, Any]:
        """``changed()``, by Celery's name."""
        return self.changed()

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Settings as a mapping; without ``censored`` with their secrets."""
        found = {name: self.__dict__[name] for name in (SETTINGS if with_defaults else self._given)}
        return {name: masked(name, value) for name, value in found.items()} if censored else found

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """A line for each setting."""
        return "\n".join(f"{name}: {value!r}" for name, value in self.table(with_defaults, censored).items())

    def as_dict(self) -> dict[str, Any]:
        """All settings, with secrets masked."""
        return self.table(with_defaults=True)

    def router(self) -> Router:
        """The routing table that these settings describe."""
        return Router(
            routes=self.task_routes,
            queues=self.task_queues,
            default_queue=self.task_default_queue,
            default_exchange=self.task_default_exchange,
            default_exchange_type=self.task_default_exchange_type,
            default_routing_key=self.task_default_routing_key,
            create_missing=self.task_create_missing_queues,
        )

    def __repr__(self) -> str:
        return f"<Config { ({name: masked(name, value) for name, value in self._given.items()})!r}>"


def masked(name: str, value: Any) -> Any:
    """A setting's value, fit to be shown."""
    if value and _is_secret(name):
        return "********"
    if isinstance(value, Mapping):
        return {key: masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, str) and "://" in value:
        scheme, _, rest = _PASSWORD.sub(r"\1********", value).partition("://")
        login, at, host = rest.rpartition("@")
        return f"{scheme}://{login.partition(':')[0]}:********@{host}" if at else f"{scheme}://{rest}"
    return value


def _is_secret(name: str) -> bool:
    return any(part in name for part in _SECRET)


def _unknown(name: str, source: str) -> str:
    near = _close_to(name.lower(), cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown setting {name!r} from {source}{hint}"


# -- sources


def _from_object(obj: Any, namespace: str | None) -> dict[str, Any]:
    if isinstance(obj, str):
        obj = imported(obj)
    if isinstance(obj, Mapping):
        found = {str(name): value for name, value in obj.items()}
    else:
        found = {name: getattr(obj, name) for name in dir(obj) if not name.startswith("_")}
    if namespace:
        prefix = namespace.upper() + "_"
        return {name[len(prefix) :].lower(): value for name, value in found.items() if name.startswith(prefix)}
    if isinstance(obj, Mapping):
        return found
    return {name: value for name, value in found.items() if name in SETTINGS or _meant_as_setting(name, value)}


def _close_to(name: str, cutoff: float) -> list[str]:
    # Only wrong names need it.
    from difflib import get_close_matches

    return get_close_matches(name, SETTINGS, n=1, cutoff=cutoff)


def _meant_as_setting(name: str, value: Any) -> bool:
    """A module also has imports, functions and classes; a misspelt setting is none of these."""
    if isinstance(value, ModuleType | type) or callable(value) or (name.isupper() and name not in _OLD):
        return False
    return name in _OLD or bool(_close_to(name, cutoff=0.85))


def imported(name: str) -> Any:
    """What ``module:attribute`` or ``module.attribute`` names. Raises ImportError, AttributeError."""
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError:
        if attribute or "." not in module:
            raise
        module, _, attribute = module.rpartition(".")
        found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def _from_environment(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    found = {}
    for variable, text in environ.items():
        if not variable.startswith(prefix):
            continue
        name = variable[len(prefix) :].lower()
        if name in SETTINGS:
            found[name] = text
        elif prefix == "CANVAS_" and name not in ("app", "workdir", "no_color", "log_level"):
            raise UnknownSetting(_unknown(name, f"environment variable {variable}"))
    return found


def parse(name: str, text: str, prefix: str) -> Any:
    """Environment text as a setting's kind of value. Raises InvalidSetting."""
    kind = SETTINGS[name].kind
    try:
        return _PARSERS.get(kind, _parse_any)(text)
    except (ValueError, KeyError):
        raise InvalidSetting(
            f"{name}: expected {_EXPECTED[kind]}; got {'********' if _is_secret(name) else repr(text)[:100]} "
            f"from environment variable {prefix}{name.upper()}"
        ) from None


_TRUTH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _parse_any(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parse_names(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        return json.loads(text)  # type: ignore[no-any-return]
    return [part.strip() for part in text.split(",") if part.strip()]


_PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": lambda text: _TRUTH[text.strip().lower()],
    "int": int,
    "count": int,
    "priority": int,
    "protocol": int,
    "float": float,
    "seconds": float,
    "duration": float,
    "names": _parse_names,
    "dict": json.loads,
    "text": str,
    "urls": str,
    "unknown": str,
}

# -- checks: the value as it is kept, or _WRONG


_WRONG: Any = object()


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    return value if value is None or (_number(value) and value >= 0) else _WRONG


def _names(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(item, str) for item in value):
        return list(value)
    return _WRONG


def _urls(value: Any) -> Any:
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return ";".join(value)
    return value if value is None or isinstance(value, str) else _WRONG


def _count(value: Any) -> Any:
    return value if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0) else _WRONG


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "any": lambda value: value,
    "bool": lambda value: (
        value if value is None or isinstance(value, bool) else (bool(value) if value in (0, 1) else _WRONG)
    ),
    "int": lambda value: value if value is None or _number(value) else _WRONG,
    "float": lambda value: value if value is None or _number(value) else _WRONG,
    "seconds": lambda value: value if value is None or (_number(value) and value >= 0) else _WRONG,
    "count": _count,
    "priority": lambda value: value if value is None or (_number(value) and 0 <= value <= 255) else _WRONG,
    "protocol": lambda value: value if value in (1, 2) else _WRONG,
    "text": lambda value: value if value is None or isinstance(value, str) else _WRONG,
    "urls": _urls,
    "names": _names,
    "dict": lambda value: dict(value) if isinstance(value, Mapping) else (None if value is None else _WRONG),
    "duration": _duration,
    "unknown": lambda value: value if value in ("dead", "requeue") else _WRONG,
}
_EXPECTED = {
    "any": "any value",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "seconds": "seconds, 0 or more",
    "count": "a whole number, 0 or more",
    "priority": "a priority from 0 to 255",
    "protocol": "1 or 2",
    "text": "text",
    "urls": "a URL or a list of URLs",
    "names": "a list of names",
    "dict": "a mapping",
    "duration": "seconds, a timedelta, or None",
    "unknown": '"dead" or "requeue"',
}
