"""Each log line at WARNING or above, and each error that names the page, has an entry in the page of troubleshooting."""

import ast
import inspect
import pickle
import re
import traceback

import pytest
from click.testing import CliRunner

import canvas.errors
from canvas.cli.main import COMMANDS
from canvas.cli.main import canvas as command
from canvas.error_pages import BLOCKING_WAIT, PAGES, message_and_page
from canvas.execution.executor import traceback_text
from canvas.model.record import Record
from canvas.version import DOCUMENTATION
from tests.architecture.structure import MODULES, tree
from tests.docs.test_pages import DOCS, anchors

PAGE = " ".join((DOCS / "troubleshooting.md").read_text().replace("`", "").split())
LOUD = {"warning", "error", "critical", "exception", "fatal", "_raised"}
LEVELS = ("WARNING", "ERROR", "CRITICAL")


def lines(module):
    """The texts of a module's log lines."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            by_level = name == "log" and node.args and any(level in ast.unparse(node.args[0]) for level in LEVELS)
            if (name in LOUD or by_level) and texts:
                yield texts[0]


def fixed(text):
    """The first part of a line that is the same each time."""
    return next(part for part in re.split(r"%[.\d]*[a-z]", text) if len(part) > 8).strip(" .;:,(")


def test_each_line_has_an_entry():
    found = [fixed(text) for module in sorted(MODULES) for text in lines(module)]
    assert len(found) > 50
    assert [text for text in found if text[:30] not in PAGE] == []


@pytest.mark.parametrize("page", sorted({*PAGES.values(), BLOCKING_WAIT}))
def test_the_page_of_an_error_is_there(page):
    path, _, heading = page.partition("#")
    file = DOCS / f"{path.rstrip('/')}.md"
    assert file.exists()
    assert not heading or heading in anchors(file)


@pytest.mark.parametrize("name", PAGES)
def test_an_error_names_its_page(name):
    kind = getattr(canvas.errors, name)
    error = (
        kind("words", "more")
        if {"cause", "task_id"} & {*inspect.signature(kind.__init__).parameters}
        else kind("words")
    )
    assert error.__notes__ == [f"See {DOCUMENTATION}{PAGES[name]}"]
    assert message_and_page(error).endswith(f"\n{error.__notes__[0]}")


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {"celery"}))  # whose help is that of canvas
def test_the_help_of_a_command_names_its_page(name):
    shown = CliRunner().invoke(command, [name, "--help"], prog_name="canvas").output
    path, _, heading = re.search(rf"{DOCUMENTATION}(\S+)", shown)[1].partition("#")
    file = DOCS / f"{path.rstrip('/')}.md"
    assert file.exists()
    assert not heading or heading in anchors(file)


def test_stored_tracebacks_name_no_page():
    try:
        raise canvas.errors.OperationalError("away") from canvas.errors.RunLost("gone")
    except canvas.errors.OperationalError as exc:
        assert "See https" in "".join(traceback.format_exception(exc))
        assert traceback_text(exc).endswith("OperationalError: away\n")
        assert "See https" not in traceback_text(exc)


def test_a_remote_error_names_its_page_and_has_its_traceback():
    error = canvas.errors.ChordError("words")
    with pytest.raises(canvas.errors.ChordError) as raised:
        Record("id", "FAILURE", error, "Traceback: here").throw()
    assert [note.strip().split()[0] for note in raised.value.__notes__] == ["See", "Remote"]


def test_a_pickled_error_has_the_notes_of_the_program_only():
    error = canvas.errors.RunLost("gone")
    assert b"See https" not in pickle.dumps(error)
    error.add_note("by me")
    error.run = "r1"
    read = pickle.loads(pickle.dumps(error))
    assert (read.args, read.run, read.__notes__) == (("gone",), "r1", ["by me"])


def test_control_flow_names_no_page():
    assert not hasattr(canvas.errors.Retry(), "__notes__")
