"""The tasks of the demonstration. Its app takes broker and backend from the environment."""

import re
from collections import Counter
from pathlib import Path

from canvas import Canvas, chord
from canvas.primitives.signature import Signature

app = Canvas("demo")

_WORD = re.compile(r"[a-z]{4,}")


@app.task
def count_words(paths: list[str]) -> dict[str, int]:
    """The words of some files and how often each occurs."""
    words: Counter[str] = Counter()
    for path in paths:
        words.update(_WORD.findall(Path(path).read_text("utf-8", errors="replace").lower()))
    return dict(words)


@app.task
def merge(counts: list[dict[str, int]]) -> dict[str, int]:
    """Several counts as one."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


@app.task
def top(counts: dict[str, int], size: int) -> list[tuple[str, int]]:
    """The most frequent words; of equally frequent ones, the alphabet's first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:size]


def workflow(pieces: list[list[str]], size: int) -> Signature[list[tuple[str, int]]]:
    """Count the pieces of the files in parallel, merge the counts, take the most frequent words."""
    return chord([count_words.s(piece) for piece in pieces], merge.s() | top.s(size))


def plain_loop(paths: list[str], size: int) -> list[tuple[str, int]]:
    """The same answer without any workflow, to check it by."""
    answer: list[tuple[str, int]] = top.run(count_words.run(paths), size)
    return answer
