"""Where settings come from: an object, a module or a mapping, and the environment."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from canvas.config.kinds import WRONG, parsed
from canvas.config.settings import SETTINGS, Setting
from canvas.errors import NoSetting

BY_OLD_NAME = {setting.old: name for name, setting in SETTINGS.items() if setting.old}
BY_OLD_NAME.update({name.upper(): name for name in SETTINGS if name.startswith("broker_")})
"""The settings by their upper-case names of before Celery 4."""
ZONE_OF_DJANGO = "TIME_ZONE"
"""Django's setting that ``timezone`` defaults to."""
OLD_NAMES = {name: old for old, name in BY_OLD_NAME.items()}


def prefix_of(namespace: str | None) -> str:
    """The start of the names of settings in an object whose settings share a namespace."""
    return f"{namespace.rstrip('_')}_" if namespace else ""


def settings_of_object(obj: Any, prefix: str) -> dict[str, Any]:
    """The settings in a mapping, or among the attributes of an object; with ``prefix`` those that start with it."""
    if isinstance(obj, Mapping):
        found = {str(name): value for name, value in obj.items()}
    else:
        # Django's settings name some in dir() that they do not have, and raise for others that no setting is read from.
        names = [name for name in dir(obj) if not name.startswith("_") and (not prefix or is_read(name, prefix))]
        every = {name: getattr(obj, name, WRONG) for name in names}
        found = {name: value for name, value in every.items() if value is not WRONG}
    return _of_namespace(found, prefix) if prefix else found


def is_read(name: str, prefix: str) -> bool:
    """Whether a name in an object with settings may stand for one: it has the prefix, or is one's bare or old name."""
    return not prefix or name.startswith(prefix) or name in SETTINGS or name in BY_OLD_NAME


def _of_namespace(found: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values whose names have the prefix, by their names without it. Other settings are read by their bare name or
    their old name."""
    named = {name[len(prefix) :].lower(): value for name, value in found.items() if name.startswith(prefix)}
    settings = {name: value for name, value in named.items() if name in SETTINGS}
    for name in SETTINGS:
        other = next((one for one in (name, OLD_NAMES.get(name)) if one in found), None)
        if other is not None and name not in settings:
            settings[name] = found[other]
    old = {name[len(prefix) :].lower() for name in BY_OLD_NAME if name.startswith(prefix)}
    return {**{name: value for name, value in named.items() if name not in old}, **settings}


def imported(name: str) -> Any:
    """The object that ``module:attribute`` or ``module.attribute`` names. Raises ImportError, AttributeError."""
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError:
        if attribute or "." not in module:
            raise
        module, _, attribute = module.rpartition(".")
        found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def settings_of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings that ``CANVAS_…`` variables give. Others, and text that cannot be read, are left alone: a variable
    of such a name may belong to another program, or come from Kubernetes."""
    found = {}
    for name, setting in SETTINGS.items():
        text = environ.get(f"CANVAS_{name.upper()}")
        value = parsed(setting.kind, text) if text and not text.isspace() else WRONG
        if value is not WRONG:
            found[name] = value
    return found


def _or_else(name: str, other: str) -> property:
    """The setting ``name``, or else ``other``; as an item the setting alone."""

    def found(settings: "ReadSettings") -> Any:
        own = settings._find(name)
        return settings.get(other) if own is None else own

    return property(found, doc=f"The setting, or else ``{other}``; as an item the setting alone.")


class FoundOption(NamedTuple):
    """A setting, by the parts of its name."""

    namespace: str | None
    key: str
    type: Setting


class ReadSettings(ABC):
    """The methods that read settings, under Celery's names too, made from two: one finds a value, one lists names."""

    @abstractmethod
    def _find(self, name: str) -> Any:
        """The value of a setting or of another name that was kept; ``WRONG`` if there is none."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]: ...

    @abstractmethod
    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Settings as a mapping; without ``censored`` with their secrets."""

    def keys(self) -> list[str]:
        return list(self)

    def values(self) -> list[Any]:
        return [self._find(name) for name in self]

    def items(self) -> list[tuple[str, Any]]:
        return [(name, self._find(name)) for name in self]

    iterkeys, itervalues, iteritems = keys, values, items

    def get(self, name: str, default: Any = None) -> Any:
        """A setting, or ``default`` for a name that is not a setting."""
        found = self._find(name)
        return default if found is WRONG else found

    def copy(self) -> dict[str, Any]:
        """The values of all settings."""
        return dict(self.items())

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """A line for each setting."""
        return "\n".join(f"{name}: {value!r}" for name, value in self.table(with_defaults, censored).items())

    def as_dict(self) -> dict[str, Any]:
        """All settings, with secrets masked."""
        return self.table(with_defaults=True)

    def without_defaults(self) -> dict[str, Any]:
        """The settings that were given, with the other names that were kept."""
        return self.table(censored=False)

    def first(self, *names: str) -> Any:
        """The first of these settings that is not None."""
        return next((value for value in map(self.get, names) if value is not None), None)

    def get_by_parts(self, *parts: str) -> Any:
        """The setting whose name is ``parts``, joined by ``_``."""
        return getattr(self, "_".join(part for part in parts if part))

    def find_value_for_key(self, name: str, namespace: str = "celery") -> Any:
        """The setting ``<namespace>_<name>``, or ``name`` in another namespace, or ``name`` alone. Raises NoSetting, a
        KeyError."""
        full = f"{namespace}_{name}".lower()
        named = (full, *(one for one in SETTINGS if one.partition("_")[2] == name.lower()))
        return getattr(self, next((one for one in named if self.get(one, WRONG) is not WRONG), name))

    @property
    def prefix(self) -> str | None:
        """The start of the names of settings in the configuration object; ``None`` if they have none."""
        return self.__dict__["_namespace_prefix"] or None

    @property
    def deprecated_settings(self) -> set[str]:
        """Empty: canvas warns of no setting that Celery deprecates."""
        return set()

    def find_option(self, name: str, namespace: str = "") -> "FoundOption":
        """The setting that is called ``name`` in a namespace, or else in any, or by its whole name. Raises NoSetting, a
        KeyError."""
        short, full = name.lower(), f"{namespace}_{name}".lower()
        found = next((one for one in (full, *SETTINGS) if one in SETTINGS and one.partition("_")[2] == short), None)
        if found is not None:
            return FoundOption(found.partition("_")[0], short, SETTINGS[found])
        if short not in SETTINGS:
            raise NoSetting(name)
        return FoundOption(None, short, SETTINGS[short])

    @property
    def timezone(self) -> Any:
        """The setting, or else Django's ``TIME_ZONE``; as an item the setting alone."""
        return self.__dict__["timezone"] or self.__dict__["_zone"]

    task_default_exchange = _or_else("task_default_exchange", "task_default_queue")
    task_default_routing_key = _or_else("task_default_routing_key", "task_default_queue")
    broker_read_url = _or_else("broker_read_url", "broker_url")
    broker_write_url = _or_else("broker_write_url", "broker_url")

    @property
    def defaults(self) -> list[dict[str, Any]]:
        """The default values of the settings."""
        return [{name: setting.default for name, setting in SETTINGS.items()}]

    @property
    def maps(self) -> list[dict[str, Any]]:
        """The given settings, then the defaults."""
        return [self.without_defaults(), *self.defaults]
