"""Settings: Celery's lower-case names and the former upper-case ones, checked when they are read; an error names the
source of a wrong value.

Later sources win: defaults, the configuration object, the environment (``CANVAS_…``), keyword arguments and assignment.
``CELERY_BROKER_URL``, ``CELERY_BROKER_READ_URL``, ``CELERY_BROKER_WRITE_URL`` and ``CELERY_RESULT_BACKEND`` in the
environment win over all of these, as in Celery, which reads no other setting from there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

from canvas.caller_warnings import ends_in_caller, warn_caller
from canvas.config.changes import changes
from canvas.config.kinds import WRONG, checked
from canvas.config.settings import SETTINGS, hint, nearest, nearest_zone
from canvas.config.sources import (
    BY_OLD_NAME,
    ZONE_OF_DJANGO,
    ReadSettings,
    imported,
    is_read,
    prefix_of,
    settings_of_environment,
    settings_of_object,
)
from canvas.config.variables import OF_CELERY, check_variables, wrong
from canvas.errors import InvalidSetting, NoSetting, UnknownSetting
from canvas.masking import masked_setting


@ends_in_caller("__setattr__", "__setitem__", "update")
class Config(ReadSettings):
    """The settings of an app, as attributes and as items; assign to change them.

    A name that is not a setting's is kept, and can be read. One that resembles a setting's gives a warning that names
    both. With ``strict_settings`` both are errors. Raises UnknownSetting, and InvalidSetting for a value of a wrong
    kind.
    """

    def __init__(self) -> None:
        for name, setting in SETTINGS.items():
            default = setting.default
            self.__dict__[name] = default.copy() if isinstance(default, dict | list) else default
        own: dict[str, Any] = {
            "_given": {},
            "_assigned": {},
            "_before": {},
            "_others": {},
            "_pinned": {},
            "_found": {},
            "_later": set(),
        }
        self.__dict__.update(own, _namespace_prefix="", _source=None, _zone=None, _changed=_ignored)

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
        environ, overrides, prefix = environ or {}, overrides or {}, prefix_of(namespace)
        obj = imported(obj) if isinstance(obj, str) else obj
        from_object = settings_of_object(obj, prefix) if obj is not None else {}
        from_environment = settings_of_environment(environ)
        conf.__dict__.update(_namespace_prefix=prefix, _source=obj, _found=from_object)
        for found in (from_object, from_environment, overrides):
            if "strict_settings" in found:
                conf._set("strict_settings", found["strict_settings"], "the configuration")
        check_variables(environ, conf.__dict__["strict_settings"])
        for name, value in from_object.items():
            if name in SETTINGS or name in BY_OLD_NAME or prefix or isinstance(obj, Mapping):
                conf._set(name, value, "the configuration object")
            else:
                conf._set_of_module(name, value)
        for name, value in from_environment.items():
            conf._set(name, value, f"environment variable CANVAS_{name.upper()}")
        for name, value in overrides.items():
            conf._set(name, value, "a keyword argument")
        conf.__dict__.update(
            _zone=conf.get(ZONE_OF_DJANGO), _later={*map(conf._named, {**from_environment, **overrides})}
        )
        for name in OF_CELERY:
            if environ.get(f"CELERY_{name.upper()}", "").strip():
                conf.pin(name, environ[f"CELERY_{name.upper()}"])
        return conf

    def source_changed(self, changed: str | None = None) -> None:
        """Take what has changed in the configuration object, except for settings of later sources. ``changed``: a name
        there, if one alone is known to have changed. Raises InvalidSetting."""
        if self._source is None or (changed is not None and not is_read(changed, self._namespace_prefix)):
            return
        before, found = self._found, settings_of_object(self._source, self._namespace_prefix)
        self.__dict__["_found"] = found
        for name, value in changes(before, found):
            named = self._named(name)
            if named == ZONE_OF_DJANGO or named in self._later or named in self._assigned:
                continue
            if value is not WRONG:
                self._set(named, value, "the configuration object")
            elif named in SETTINGS:
                self._set(named, SETTINGS[named].default, "its default")
                self._given.pop(named)
            else:
                self._others.pop(named, None)

    def __getstate__(self) -> dict[str, Any]:
        """The state of a copy: the settings, without their app and the object that they came from."""
        return {**self.__dict__, "_changed": _ignored, "_source": None, "_found": {}}

    def bind_to(self, changed: Callable[[str], None]) -> None:
        """Call ``changed`` with the name of each setting that is set from now on."""
        self.__dict__["_changed"] = changed

    def _set(self, name: str, value: Any, source: str) -> None:
        name = self._named(name)
        setting = SETTINGS.get(name)
        if setting is None:
            self._keep(name, value, source, nearest(name.lower()))
            return
        kept = checked(setting.kind, value)
        if kept is WRONG:
            raise InvalidSetting(f"{wrong(name, value)} from {source}{nearest_zone(name, value)}")
        kept = self._pinned.get(name, kept)
        self.__dict__[name] = kept
        self._given[name] = kept
        self._changed(name)

    def _keep(self, name: str, value: Any, source: str, near: str | None) -> None:
        """Keep a value that is not a setting, unless settings are strict."""
        suggestion = f"; did you mean {near}?" if near else ""
        if name == ZONE_OF_DJANGO:
            self.__dict__["_zone"] = value
        elif self.__dict__["strict_settings"]:
            raise UnknownSetting(f"unknown setting {name!r} from {source}{suggestion or hint(name)}")
        elif near:
            warn_caller(f"unknown setting {name!r} from {source}{suggestion} It is kept, and has no effect")
        self._others[name] = value

    def _set_of_module(self, name: str, value: Any) -> None:
        """A module also has imports, functions and classes, which are not misspelt settings."""
        if isinstance(value, ModuleType | type) or callable(value):
            return
        near = nearest(name, BY_OLD_NAME) if name.isupper() else nearest(name)
        if near:
            self._keep(name, value, "the configuration object", near)
        else:
            self._others[name] = value

    def _assign(self, name: str, value: Any, source: str) -> None:
        name = self._named(name)
        before = self._others.get(name, WRONG) if name not in SETTINGS else self.__dict__[name]
        self._set(name, value, source)
        self._before.setdefault(name, (before, name in self._given and name not in self._assigned))
        self._assigned[name] = value

    def pin(self, name: str, value: Any) -> None:
        """Set it, and keep it whatever is assigned later. Raises InvalidSetting."""
        self._pinned.pop(name, None)
        self._set(name, value, f"environment variable CELERY_{name.upper()}")
        self._pinned[name] = self.__dict__[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self._assign(name, value, "an assignment")

    __setitem__ = __setattr__

    def __delattr__(self, name: str) -> None:
        """Undo an assignment. Raises NoSetting for a name that was not assigned."""
        name = self._named(name)
        if name not in self._before:
            raise NoSetting(f"{name!r} was not assigned to app.conf")
        (before, given), _ = self._before.pop(name), self._assigned.pop(name)
        if name not in SETTINGS:
            self._others.pop(name)
            if before is not WRONG:
                self._others[name] = before
            return
        self.__dict__[name] = before
        self._given.pop(name)
        if given:
            self._given[name] = before
        self._changed(name)

    __delitem__ = __delattr__

    def _named(self, name: str) -> str:
        """The name of the setting that ``name``, maybe an old one or one with the namespace, stands for."""
        if name in SETTINGS or name in self._others:
            return name
        if name in BY_OLD_NAME:
            return BY_OLD_NAME[name]
        if self._namespace_prefix:
            short = (name[len(self._namespace_prefix) :] if name.startswith(self._namespace_prefix) else name).lower()
            if short in SETTINGS or short in self._others:
                return short
        return name

    def _find(self, name: str) -> Any:
        """The value of a setting or of another name that was kept; ``WRONG`` if there is none."""
        name = self._named(name)
        if name in SETTINGS:
            return self.__dict__[name]
        if name in self._others:
            return self._others[name]
        if self._source is None or name.startswith("_"):
            return WRONG
        if isinstance(self._source, Mapping):
            return self._source.get(name, WRONG)
        return getattr(self._source, name, WRONG)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in self.__dict__.get("_others", ()):
            raise NoSetting(name)
        found = self._find(name)
        if found is WRONG:
            raise NoSetting(f"unknown setting {name!r} from app.conf", partial(hint, name))
        return found

    __getitem__ = __getattr__

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not WRONG

    def __iter__(self) -> Iterator[str]:
        return iter([*SETTINGS, *self._others])

    def __len__(self) -> int:
        return len(SETTINGS) + len(self._others)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value of a name, as of every setting. One without a value gets ``default``."""
        if self._find(name) is WRONG:
            self._assign(name, default, "setdefault()")
        return self._find(name)

    def add_defaults(self, settings: Mapping[str, Any]) -> None:
        """Set those of ``settings`` that were not given yet."""
        for name, value in settings.items():
            if not self.value_set_for(name) and (self._named(name) in SETTINGS or self._find(name) is WRONG):
                self._assign(name, value, "add_defaults()")

    def update(self, *sources: Mapping[str, Any] | Iterable[tuple[str, Any]], **settings: Any) -> None:
        """Set many at once, from mappings or pairs."""
        for source in (*sources, settings):
            for name, value in dict(source).items():
                self._assign(name, value, "update()")

    def clear(self) -> None:
        """Undo all assignments."""
        for name in list(self._before):
            del self[name]

    def pop(self, name: str, *default: Any) -> Any:
        """Undo an assignment. Returns the value that it had assigned. Raises NoSetting where there is neither one nor a
        ``default``."""
        if self._named(name) not in self._before and default:
            return default[0]
        value = self._find(name)
        del self[name]
        return value

    def assigned(self) -> dict[str, Any]:
        """The values that were assigned, as opposed to loaded."""
        return dict(self._assigned)

    def changed(self) -> dict[str, Any]:
        """The settings that were given, as opposed to left at their defaults."""
        return dict(self._given)

    def value_set_for(self, key: str) -> bool:
        """Whether a setting was given."""
        return self._named(key) in self._given

    @property
    def changes(self) -> dict[str, Any]:
        """``changed()``, by Celery's name."""
        return self.changed()

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Settings as a mapping; without ``censored`` with their secrets."""
        found = {name: self.__dict__[name] for name in (SETTINGS if with_defaults else self._given)}
        others = dict(self._others)
        if censored:
            found = {name: masked_setting(name, value) for name, value in found.items()}
            others = {name: masked_setting(name, value, known=False) for name, value in others.items()}
        return {**found, **others}

    def __repr__(self) -> str:
        return f"<Config {self.table()!r}>"


def _ignored(name: str) -> None: ...
