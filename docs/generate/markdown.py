"""Tables of Markdown."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars in its cells are escaped."""
    lines = [_row(header), _row(["---"] * len(header)), *map(_row, rows)]
    return "\n".join(lines)


def code(text: str) -> str:
    """Text as code."""
    return f"`{text}`" if text else ""


def prose(text: str) -> str:
    """A docstring's text on one line, with Markdown's code marks."""
    return " ".join(text.replace("``", "`").split())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
