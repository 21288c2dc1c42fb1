"""What the repository holds, and what it must not."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FORBIDDEN = re.compile(
    "|".join(
        ["/wo" + "rk/", "/ro" + "ot/", "pyp" + r"i\.org", "python" + "hosted", "registry" + r"\.npm", "deb" + r"\.debian",
         r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b"]
    )
)  # fmt: skip


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\n") if listed.returncode == 0 else []
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_path_of_a_machine_no_registry_and_no_note_to_self():
    found = []
    for path in tracked():
        if "golden" in path.parts:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if FORBIDDEN.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


SCRIPTS = sorted((ROOT / "canvas/drivers/redis/scripts").rglob("*.lua"))


def test_scripts_state_their_contract():
    assert SCRIPTS
    for script in SCRIPTS:
        header = script.read_text().partition("\n\n")[0]
        assert "KEYS" in header, script.name
        assert "ARGV" in header, script.name
        assert "eturns" in header, script.name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_name_the_modules_that_they_use(script):
    header, _, code = script.read_text().partition("\n\n")
    named = re.search(r"^-- Uses: (.*)$", header, re.MULTILINE)
    used = set(re.findall(r"\buse\('(\w+)'\)", code))
    if script.stem != "context" and re.search(
        r"\b(context|NONE|on_results|on_broker|server_time|refusal_or_raise)\b", code
    ):
        used.add("context")
    assert set(named[1].split(", ") if named else ()) == used


def test_functions_that_each_settlement_makes():
    """Redis makes what is not inside of another function in every run."""
    texts = [path.read_text() for path in SCRIPTS if path.stem in ("context", "settle")]
    assert sum(len(re.findall(r"^(?:local )?function ", text, re.MULTILINE)) for text in texts) <= 13


def test_every_module_says_what_it_is_for():
    silent = [p for p in (ROOT / "canvas").rglob("*.py") if not p.read_text().startswith('"""')]
    assert silent == []


def test_the_top_level_is_what_it_should_be():
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {n for n in names if not n.startswith(".")} == {
        "pyproject.toml", "README.md", "canvas", "tests", "docs", "benchmarks", "Makefile", "LICENSE",
        "CHANGELOG.md",
    }  # fmt: skip


def test_links_in_the_readme_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
