"""Blocks and inline code of all pages, also of those that no test follows: what they name exists, and what they write can be
read."""

import ast
import configparser
import importlib
import json
import re
import shlex
import tomllib

import click
import pytest
import yaml

import canvas
from canvas.cli.main import canvas as command
from canvas.config.settings import SETTINGS
from tests.docs.test_pages import DOCS, PAGES
from tests.support.walkthrough import blocks

OURS = [page for page in [*PAGES, DOCS.parent / "README.md"] if "decisions" not in page.parts]
ADDED = re.compile(r'Option\(\("(--[\w-]+)"')
"""An option that a page's own code adds to a command."""
INLINE = re.compile(r"`(canvas [^`\n]+)`")
LISTED = re.compile(r"`canvas (?:-A \S+ )?([a-z-]+)[^`\n]*`((?:(?:,|\s|and|or)+`(?!canvas )[a-z][\w -]*`)+)")
"""Commands without ``canvas`` after one with it, as in "`canvas workflow list` and `show`"."""
STARTED = (["worker"], ["beat"])
PLACEHOLDER = re.compile(r"^[A-Z_]+$|…|\.\.\.$")


def found(language):
    return [(page, text) for page in OURS for _, kind, _, text in blocks(page.read_text()) if kind == language]


def statements(text):
    """The code of a block; indented parts of a function count as one."""
    return ast.parse(re.sub(r"^( *)…$", r"\1...", text, flags=re.MULTILINE))


def lists_of_words(value):
    """The lists of text in a file of YAML: the arguments of containers are among them."""
    if isinstance(value, dict | list):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from lists_of_words(item)


def commands_of_services():
    """The command lines of containers, whose entry point is ``canvas -A app``, and of systemd's units."""
    for page, text in found("yaml"):
        yield from (
            (page, shlex.join(["canvas", *words])) for words in lists_of_words(read(text)) if words[:1] in STARTED
        )
    for page, text in found("dockerfile"):
        yield from (
            (page, shlex.join(["canvas", *json.loads(words)])) for words in re.findall(r"^CMD (.*)$", text, re.M)
        )
    for page, text in found("ini"):
        yield from ((page, line) for line in re.findall(r"^ExecStart=\S*/(canvas .*)$", text, re.M))


def commands():
    """Each command line of canvas, in blocks and in the text."""
    yield from commands_of_services()
    for page, text in found("console"):
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            for part in re.split(r"&&|\|\||[|;]", line.removeprefix("$ ")) if line.startswith("$ ") else ():
                if re.match(r"\s*([A-Z_]+=\S+ )*canvas ", part):
                    yield page, re.sub(r"^\s*([A-Z_]+=\S+ )*", "", part).rstrip(" &")
    for page in OURS:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for line in INLINE.findall(text):
            yield page, line


def refused(line):
    """What click says of a command line; nothing if it knows the command and its options."""
    words = [word for word in shlex.split(line, comments=True)[1:] if not word.startswith((">", "2>"))]
    here, context = command, click.Context(command)
    while isinstance(here, click.Group):
        _, words, _ = here.make_parser(context).parse_args(words)
        if not words or PLACEHOLDER.search(words[0]):
            return ""
        name, *words = words
        if name == "celery":  # it takes any command line of canvas, written for Celery
            here, context = command, click.Context(command)
            continue
        inner = here.get_command(context, name)
        if inner is None:
            return f"no command {name!r}"
        here, context = inner, click.Context(inner, parent=context, info_name=name)
    here.make_parser(context).parse_args([word for word in words if word not in ("…", "...")])
    return ""


def test_commands_and_their_options_exist():
    wrong = []
    for page, line in commands():
        added = "|".join(ADDED.findall(page.read_text())) or "(?!)"
        try:
            problem = refused(re.sub(rf" ({added})\b", "", line))
        except (click.UsageError, ValueError) as exc:
            problem = str(exc)
        wrong += [f"{page.name}: {line}: {problem}"] if problem else []
    assert wrong == []


def is_command(words):
    try:
        return not refused(f"canvas {words}")
    except click.UsageError:
        return False


def test_commands_that_are_listed_after_another_one_exist():
    listed = [
        (page.name, first, name)
        for page in OURS
        for first, names in LISTED.findall(page.read_text())
        for name in re.findall(r"`([\w-]+(?: [\w-]+)*)`", names)
    ]
    assert len(listed) > 5
    wrong = [one for one in listed if not is_command(one[2]) and not is_command(f"{one[1]} {one[2]}")]
    assert wrong == []


@pytest.mark.parametrize("page", OURS, ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_python_can_be_read_and_its_names_of_canvas_exist(page):
    for text in [text for found_at, text in found("python") if found_at == page]:
        for node in ast.walk(statements(text)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "canvas":
                module = importlib.import_module(node.module)
                missing = [one.name for one in node.names if not hasattr(module, one.name)]
                assert not [name for name in missing if not _is_module(f"{node.module}.{name}")], (page.name, missing)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("app.conf"):
                assert node.attr in SETTINGS or hasattr(canvas.Canvas("blocks").conf, node.attr), (page.name, node.attr)


def _is_module(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def test_settings_of_apps_exist():
    wrong = []
    for page, text in found("python"):
        for node in ast.walk(statements(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("conf.update"):
                wrong += [f"{page.name}: {one.arg}" for one in node.keywords if one.arg and one.arg not in SETTINGS]
    assert wrong == []


class Compose(yaml.SafeLoader):
    """Reads the tags by which a file of compose changes another one."""


Compose.add_constructor("!reset", lambda loader, node: None)
Compose.add_constructor("!override", lambda loader, node: loader.construct_mapping(node, deep=True))


def read(text):
    return list(yaml.load_all(text, Compose))


READERS = {
    "yaml": read,
    "toml": tomllib.loads,
    "ini": lambda text: configparser.RawConfigParser(strict=False).read_string(text),
}


@pytest.mark.parametrize("language", READERS)
def test_files_can_be_read(language):
    texts = found(language)
    assert texts
    for page, text in texts:
        assert READERS[language](text) != [None], page.name
