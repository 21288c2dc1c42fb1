"""Options of ``canvas worker`` that are read, or refused, with more than click's own words."""

import math
import os
from pathlib import Path
from typing import Any

import click

from canvas.worker.options import POOLS, no_green_pool


class Pool(click.Choice):  # type: ignore[type-arg]
    """The name of a pool."""

    def __init__(self) -> None:
        super().__init__([*POOLS, "processes"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if green := no_green_pool(str(value)):
            self.fail(green, param, ctx)
        return super().convert(value, param, ctx)


def concurrency(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """How many tasks run at once; ``None`` or 0: as ``worker_concurrency``."""
    if value is None:
        return None
    if value == "auto":
        return usable_cores()
    if not value.isdecimal():
        raise click.BadParameter(f"expected a number, or auto; got {value!r}")
    return int(value) or None


def usable_cores() -> int:
    """The cores that this process may use, by its affinity and its container's CPU quota, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # there is no quota
        return cores


def only_fork(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value == "spawn":
        raise click.BadParameter("processes are forked here; where that is a problem, use -P threads or -P solo")
