"""The reference is complete: what the code has is in it, and its generated parts are as the code makes them now."""

import inspect
import re
from datetime import timedelta
from pathlib import Path

import click
import pytest

import canvas
import canvas.signals
from canvas.cli.main import COMMANDS
from canvas.cli.main import canvas as command_line
from canvas.config.effects import EFFECTS
from canvas.config.ignored import ignored_reason
from canvas.config.settings import SETTINGS
from canvas.drivers.redis.keys import BrokerKeys, ResultKeys
from canvas.model import states
from canvas.model.call_options import OPTIONS
from canvas.model.run_index import RUN_STATES
from canvas.signals.signal import Signal
from canvas.workflows.status import ENDED
from docs.generate import calls, failures, pages
from docs.generate import states as tables
from docs.generate.signals import descriptions
from tests.docs.test_pages import PAGES

REFERENCE = Path(pages.DOCS) / "reference"
VALUE = r"(\d[\d,.]*(?: (?:s|ms|seconds?|minutes|hours|days|MiB))?|an? (?:hour|day|week))"
DEFAULT_AFTER = re.compile(rf"(?<!a third of )`(\w+)` \({VALUE}(?: by default)?[),;]")
DEFAULT_WITHIN = re.compile(rf"\(`(\w+)`, {VALUE}(?: by default)?[),;]")
UNITS = {
    "": 1, "s": 1, "ms": 0.001, "second": 1, "seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "MiB": 2**20,
    "hour": 3600, "day": 86400, "week": 7 * 86400,
}  # fmt: skip


def seconds_or_number(text):
    number, _, unit = text.replace(",", "").partition(" ")
    return (1 if number in ("a", "an") else float(number)) * UNITS[unit]


def plain(value):
    return value.total_seconds() if isinstance(value, timedelta) else value


def test_generated_parts_are_current():
    assert [path.name for path in pages.stale()] == [], "run: python -m docs.generate"


def test_each_part_is_in_one_page():
    found = [part for path in pages.pages() for _, part, _ in pages.PART.findall(path.read_text())]
    assert sorted(found) == sorted(pages.PARTS)


def test_each_setting_has_an_effect_or_a_reason():
    assert set(EFFECTS) == {name for name in SETTINGS if ignored_reason(name) is None}
    page = (REFERENCE / "settings.md").read_text()
    assert [name for name in SETTINGS if f"`{name}`" not in page] == []
    assert [name for name in EFFECTS if f"`CANVAS_{name.upper()}`" not in page] == []


def test_pages_give_the_defaults_of_settings():
    found = [
        (page.name, name, value)
        for page in PAGES
        if "decisions" not in page.parts
        for forms in [DEFAULT_AFTER.findall(page.read_text()), DEFAULT_WITHIN.findall(page.read_text())]
        for name, value in forms
        if name in SETTINGS
    ]
    wrong = [one for one in found if seconds_or_number(one[2]) != plain(SETTINGS[one[1]].default)]
    assert len(found) > 10
    assert wrong == []


def test_each_option_is_described():
    assert [option.name for option in OPTIONS if not option.effect.endswith(".")] == []
    assert [name for name, (_, text) in calls.attributes().items() if not text and name not in calls.NOT_OPTIONS] == []


def options_of_commands(command, path):
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            yield path, option
    for name in getattr(command, "commands", {}):
        yield from options_of_commands(command.commands[name], f"{path} {name}")


def test_each_option_of_a_command_says_what_it_does():
    context = click.Context(command_line)
    found = list(options_of_commands(command_line, "canvas"))
    for name in COMMANDS:
        found += options_of_commands(command_line.get_command(context, name), f"canvas {name}")
    assert len(found) > 200
    assert [(path, option.opts) for path, option in found if len((option.help or "").split()) < 3] == []


def test_each_signal_that_is_sent_is_described():
    sent = [
        name
        for name, value in vars(canvas.signals).items()
        if isinstance(value, Signal) and not re.match("eventlet|user_preload", name)
    ]
    assert [name for name in sent if not descriptions()[name]] == []


def test_each_state_is_described():
    names = {value for name, value in vars(states).items() if name.isupper() and isinstance(value, str)}
    assert set(tables.TASKS) == names
    assert set(tables.RUNS) == set(RUN_STATES)
    assert set(tables.NODES) >= ENDED


def test_each_error_is_in_the_table():
    page = (REFERENCE / "errors.md").read_text()
    assert [name for name, kind in failures.classes().items() if f"`{name}`" not in page or not kind.__doc__] == []


def test_each_public_name_is_in_the_api():
    page = (REFERENCE / "api.md").read_text()
    listed = {path.rpartition(".")[2] for path in re.findall(r"^::: (\S+)", page, re.MULTILINE)}
    assert set(canvas.__all__) - {"__version__"} - listed == set()


@pytest.mark.parametrize("kind", [BrokerKeys, ResultKeys])
def test_each_key_is_in_the_page(kind):
    page = (REFERENCE / "keys.md").read_text()
    keys = kind()
    made = [value for value in vars(keys).values() if isinstance(value, str) and "canvas:" in value]
    for name, member in inspect.getmembers(kind):
        if isinstance(member, property):
            made.append(getattr(keys, name))
        elif inspect.isfunction(member) and not name.startswith("_"):
            wanted = list(inspect.signature(member).parameters)[1:]
            value = member(keys, *("" for _ in wanted)) if "step" not in wanted and name != "queue_of" else ""
            made += [value] if isinstance(value, str) else []
    missing = [key for key in made if "canvas:" in key and key.rstrip(":").split("::")[0] not in page]
    assert missing == []
