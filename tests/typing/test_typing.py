"""The types of tasks, signatures and results under mypy and pyright: what they infer, and what they refuse."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
REVEALED = re.compile(r'(?:Revealed type is|is) "(.*)"$')

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def run(*words):
    return subprocess.run([*words], cwd=ROOT, capture_output=True, text=True, timeout=380)


def by_mypy(file):
    """Of each line: the errors and the revealed type."""
    done = run(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(FOLDER / file))
    errors, types = set(), {}
    for line in done.stdout.splitlines():
        place, _, text = line.partition(": ")
        number = int(place.rpartition(":")[2])
        if text.startswith("error"):
            errors.add(number)
        elif revealed := REVEALED.search(text):
            types[number] = revealed[1].replace("canvas.result.handles.", "")
    return errors, types


def by_pyright(file):
    program = shutil.which("pyright", path=Path(sys.executable).parent) or shutil.which("pyright")
    if program is None or run(program, "--version").returncode:
        pytest.skip("pyright does not run here: it needs Node")
    done = run(program, "--outputjson", "--pythonpath", sys.executable, str(FOLDER / file))
    errors, types = set(), {}
    for one in json.loads(done.stdout)["generalDiagnostics"]:
        number = one["range"]["start"]["line"] + 1
        if one["severity"] == "error":
            errors.add(number)
        elif revealed := REVEALED.search(one["message"]):
            types[number] = revealed[1]
    return errors, types


CHECKERS = [by_mypy, by_pyright]


def marked(file, pattern):
    found = {}
    for number, line in enumerate((FOLDER / file).read_text().splitlines(), start=1):
        if mark := re.search(pattern, line):
            found[number] = mark[mark.lastindex or 0]
    return found


@pytest.mark.parametrize("checker", CHECKERS)
def test_what_is_right_is_accepted(checker):
    errors, types = checker("accepted.py")
    assert errors == set()
    expected = marked("accepted.py", r"reveal_type\(.*\)  # (.*)$")
    assert len(expected) > 15
    assert {number: types.get(number) for number in expected} == expected


@pytest.mark.parametrize("checker", CHECKERS)
def test_what_is_wrong_is_refused(checker):
    errors, _ = checker("refused.py")
    assert errors == set(marked("refused.py", r"# wrong$"))
