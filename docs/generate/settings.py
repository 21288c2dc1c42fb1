"""The tables of settings."""

from collections import defaultdict
from typing import Any

from canvas.config.effects import EFFECTS
from canvas.config.ignored import ignored_reason
from canvas.config.kinds import expected
from canvas.config.settings import SETTINGS
from docs.generate.markdown import code, table

GROUPS = {
    "broker": "Broker",
    "result": "Results",
    "redis": "Redis as the result backend",
    "database": "SQL as the result backend",
    "task": "Tasks",
    "worker": "Workers",
    "workflow": "Workflows",
    "beat": "Beat",
    "message": "Signed messages",
    "": "Others",
}
LARGE = 1_000_000


def with_effect() -> str:
    """Each setting that has an effect, by the first word of its name."""
    groups = defaultdict(list)
    for name in sorted(EFFECTS):
        first = name.partition("_")[0]
        groups[first if first in GROUPS else ""].append(name)
    parts = []
    for first, title in GROUPS.items():
        rows = [
            (
                code(name), expected(SETTINGS[name].kind), code(_default(SETTINGS[name].default)),
                code(f"CANVAS_{name.upper()}"), EFFECTS[name],
            )
            for name in groups[first]
        ]  # fmt: skip
        parts.append(f"### {title}\n\n{table(('Setting', 'Type', 'Default', 'Environment', 'Effect'), rows)}\n")
    return "\n".join(parts)


def without_effect() -> str:
    """The settings of Celery's that are accepted and have no effect, by their reason."""
    names = defaultdict(list)
    for name in sorted(SETTINGS):
        reason = ignored_reason(name)
        if reason is not None:
            names[reason].append(name)
    rows = [(", ".join(map(code, group)), f"{reason[0].upper()}{reason[1:]}.") for reason, group in names.items()]
    return table(("Settings", "Reason"), rows)


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and value >= LARGE:
        return f"{value:_}"
    return repr(list(value) if isinstance(value, tuple) else value)
