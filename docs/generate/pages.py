"""The pages that have generated parts, and what generates each part."""

import re
from collections.abc import Callable
from pathlib import Path

from docs.generate import calls, command_line, examples, failures, pictures, settings, signals, states, tables

DOCS = Path(__file__).parent.parent
PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PARTS: dict[str, Callable[[], str]] = {
    "settings": settings.with_effect,
    "settings-without-effect": settings.without_effect,
    "call-options": calls.call_options,
    "task-options": calls.task_options,
    "command-line": command_line.commands,
    "task-states": states.of_tasks,
    "node-states": states.of_nodes,
    "run-states": states.of_runs,
    "signals": signals.sent,
    "errors": failures.errors,
    "other-names": tables.other_names,
    "worker-metrics": tables.worker_metrics,
    "beat-metrics": tables.beat_metrics,
    "example-fastapi-tasks": examples.fastapi_tasks,
    "example-fastapi-web": examples.fastapi_web,
    "example-flask": examples.flask,
}
PICTURES = {"day-end.svg": pictures.graph, "watch.svg": pictures.watch}


def pages() -> list[Path]:
    """The pages with generated parts."""
    return [path for path in sorted(DOCS.rglob("*.md")) if PART.search(path.read_text())]


def made(text: str) -> str:
    """The text of a page with its parts as they should be now."""
    return PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", text)


def stale() -> list[Path]:
    """The pages whose parts, and the pictures that, are not as the code makes them."""
    drawn = [path for path, draw in _pictures() if not path.exists() or _words(path.read_text()) != _words(draw())]
    return [*drawn, *(path for path in pages() if made(path.read_text()) != path.read_text())]


def write() -> None:
    """Write the generated parts into their pages."""
    for path in pages():
        path.write_text(made(path.read_text()))
    for path, draw in _pictures():
        path.parent.mkdir(exist_ok=True)
        path.write_text(draw())


def _words(svg: str) -> list[str]:
    """The text of a picture: its form depends on the version of the library that draws it."""
    return re.sub(r"<style.*?</style>|<[^>]+>", " ", svg, flags=re.DOTALL).split()


def _pictures() -> list[tuple[Path, Callable[[], str]]]:
    return [(DOCS / "pictures" / name, draw) for name, draw in PICTURES.items()]
