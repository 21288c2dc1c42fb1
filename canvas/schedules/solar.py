"""Schedules by the sun. The library ``ephem`` computes its position: ``pip install canvas-workflows[solar]``."""

from datetime import UTC, datetime, timedelta
from typing import Any

from canvas.errors import ConfigurationError
from canvas.schedules.base_schedule import BaseSchedule, between
from canvas.text import pip_install

_TWILIGHTS = {"astronomical": "-18", "nautical": "-12", "civil": "-6"}
_RISING, _SETTING, _NOON = "next_rising", "next_setting", "next_transit"
_EVENTS: dict[str, tuple[str, str, bool]] = {
    **{f"dawn_{kind}": (_RISING, horizon, True) for kind, horizon in _TWILIGHTS.items()},
    "sunrise": (_RISING, "-0:34", False),
    "solar_noon": (_NOON, "0", False),
    "sunset": (_SETTING, "-0:34", False),
    **{f"dusk_{kind}": (_SETTING, horizon, True) for kind, horizon in _TWILIGHTS.items()},
}
"""By event: the method of ephem's observer, the horizon in degrees, and whether the sun's centre crosses it."""


class solar(BaseSchedule):
    """A task that runs at an event of the sun, seen from a place.

    ``event``: ``dawn_astronomical``, ``dawn_nautical``, ``dawn_civil``, ``sunrise``, ``solar_noon``, ``sunset``,
    ``dusk_civil``, ``dusk_nautical`` or ``dusk_astronomical``. ``lat`` (-90 to 90) and ``lon`` (-180 to 180) are
    degrees. Days without the event, near the poles, are left out. ``nowfun`` and ``app`` are those of ``BaseSchedule``.
    Raises ValueError for an unknown event or place, ConfigurationError without the library ``ephem``.
    """

    _all_events = frozenset(_EVENTS)
    _methods = {event: method for event, (method, _, _) in _EVENTS.items()}
    _use_center_l = {event: center for event, (_, _, center) in _EVENTS.items()}

    max_search_days = 366
    """Days ahead that are searched for the event."""

    def __init__(self, event: str, lat: float, lon: float, **kwargs: Any) -> None:
        try:
            import ephem
        except ImportError as exc:
            raise ConfigurationError(f"solar schedules need the library ephem: {pip_install('solar')}") from exc
        if event not in _EVENTS:
            raise ValueError(f"solar: expected one of {', '.join(sorted(_EVENTS))}; got {event!r}")
        for name, degrees, most in (("lat", lat, 90), ("lon", lon, 180)):
            if not -most <= degrees <= most:
                raise ValueError(f"solar: {name}: expected degrees from -{most} to {most}; got {degrees!r}")
        super().__init__(**kwargs)
        self.ephem: Any = ephem
        self.event, self.lat, self.lon = event, lat, lon
        self.method, horizon, self.use_center = _EVENTS[event]
        self.cal: Any = ephem.Observer()
        self.cal.lat, self.cal.lon, self.cal.elev = str(lat), str(lon), 0
        self.cal.horizon, self.cal.pressure = horizon, 0

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """How long it is until the first event after ``last_run_at``; where there is none within ``max_search_days``,
        until it is worth another look."""
        last = self.maybe_make_aware(last_run_at).astimezone(UTC).replace(tzinfo=None)
        self.cal.date = last
        then = self.maybe_make_aware(self._next_event(self.ephem.Date(last)).datetime())
        return between(then, self.maybe_make_aware(self.now()))

    def _next_event(self, start: Any) -> Any:
        sun = self.ephem.Sun()
        options = {"use_center": True} if self.use_center else {}
        for _ in range(self.max_search_days):
            try:
                return getattr(self.cal, self.method)(sun, start=start, **options)
            except self.ephem.CircumpolarError:
                start = self.cal.next_antitransit(sun, start=start)
        return start

    def __repr__(self) -> str:
        return f"<solar: {self.event} at latitude {self.lat}, longitude: {self.lon}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, solar):
            return NotImplemented
        return (other.event, other.lat, other.lon) == (self.event, self.lat, self.lon)

    __hash__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (self.event, self.lat, self.lon)
