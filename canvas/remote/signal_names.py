"""The signals of the operating system by the names that users write."""

from signal import Signals


def signal_named(name: str) -> Signals | None:
    """The signal of a name, in any case, with or without ``SIG``; ``None`` where there is none of that name."""
    name = name.upper()
    return Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")
