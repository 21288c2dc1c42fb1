"""The runs that were started under keys. A run and the claim of its key may be in different partitions."""

from collections.abc import Callable

from canvas.drivers.redis.results.store import RedisResults

_STARTING = "starting:"
_STARTS_WITHIN = 30
"""Seconds for which a claim holds before its run is saved: its process has died if it takes longer."""
_OUTLIVES_BY = 7 * 86_400
"""Seconds for which a claim is kept longer than its run at first: the run may be kept longer."""


class RunStarts:
    """Claims of the keys of idempotent starts."""

    def __init__(self, store_of: Callable[[str], RedisResults]) -> None:
        self._store_of = store_of

    def _place(self, name: str, key: str) -> tuple[RedisResults, str]:
        store = self._store_of(f"{name}\0{key}")
        return store, f"{store.keys.runs}:claims:{name}\0{key}"

    def claim(self, name: str, key: str, run: str) -> str:
        """The run that has the key from now on: this one, or another one that is kept."""
        store, claim = self._place(name, key)
        while True:
            if store.link.command("SET", claim, f"{_STARTING}{run}", "NX", "EX", _STARTS_WITHIN):
                return run
            found = store.link.command("GET", claim)
            if found is None:
                continue
            owner: str = found.decode().removeprefix(_STARTING)
            if owner == run or found.startswith(_STARTING.encode()) or self.is_kept(owner):
                return owner
            # Its run has expired.
            store.link.call("release_lock", [claim], [found])

    def confirm(self, name: str, key: str, run: str, expires: int | None) -> None:
        """The run is saved, for ``expires`` seconds."""
        store, claim = self._place(name, key)
        words = ("SET", claim, run, *(("EX", expires + _OUTLIVES_BY) if expires else ()))
        store.link.command(*words)

    def run_of(self, name: str, key: str) -> str | None:
        """The run that was started under a key, if it is still kept."""
        store, claim = self._place(name, key)
        found = store.link.command("GET", claim)
        owner = found.decode().removeprefix(_STARTING) if found is not None else None
        return owner if owner is not None and self.is_kept(owner) else None

    def is_kept(self, run: str) -> bool:
        """Whether a run is saved and has not expired."""
        store = self._store_of(run)
        return bool(store.link.command("EXISTS", store.keys.run(run)))
