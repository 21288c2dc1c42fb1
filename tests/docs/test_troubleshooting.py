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
from canvas.error_traits import BLOCKING_WAIT, PAGES, message_and_page
from canvas.execution.executor import traceback_text
from canvas.model.record import Record
from canvas.version import DOCUMENTATION
from tests.architecture.structure import MODULES, tree
from tests.docs.test_pages import DOCS, anchors

TEXT = (DOCS / "troubleshooting.md").read_text()
PAGE = " ".join(TEXT.replace("`", "").split())
LOUD = {"warning", "error", "critical", "exception", "fatal", "warn", "warn_caller"}
NO_LINES = {"sys.exception", "connecting.exception", "reader.exception", "self._away.error", "self.away.error"}
"""Functions of these names that log nothing."""
OF_CELERY = {module for module in MODULES if module.startswith("canvas.celery_names")} | {"canvas.caller_warnings"}
"""Modules that log for programs written for Celery, and the one that carries the text of a warning."""
SHORTEST = 12
"""Letters of a line that are the same each time, at least: fewer do not tell it from others."""
LEVELS = ("WARNING", "ERROR", "CRITICAL")


def text_of(node, names):
    """The text of an argument, with ``%s`` for each value in it; ``None`` for one that is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "%s" for part in node.values)
    if isinstance(node, ast.BinOp):
        return "".join(text_of(side, names) or "%s" for side in (node.left, node.right))
    return names.get(node.id) if isinstance(node, ast.Name) else None


def lines(module):
    """The texts of a module's log lines and warnings; ``None`` for one that is made elsewhere."""
    for function in ast.walk(tree(module)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        inside = list(ast.walk(function))
        names = {
            target.id: text_of(one.value, {})
            for one in inside
            if isinstance(one, ast.Assign)
            for target in one.targets
            if isinstance(target, ast.Name)
        }
        for node in inside:
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            by_level = name == "log" and node.args and any(level in ast.unparse(node.args[0]) for level in LEVELS)
            if (name in LOUD or by_level) and ast.unparse(node.func) not in NO_LINES:
                yield next((text for one in node.args if (text := text_of(one, names))), None)


def parts(text, value):
    """The parts of a line that are the same each time, without its ends."""
    return [part for one in re.split(value, text) if (part := one.strip(" .;:,()[]"))]


def is_entry_of(shown, text):
    """Whether a line that the page shows, with ``…`` for its values, is this line, perhaps without its end."""
    known, own = parts(shown, "…"), parts(text, r"%[.,\d]*[a-z]")
    if sum(map(len, known)) < SHORTEST:
        return False
    if all(part in shown for part in own if len(part) > 8) and max(map(len, own)) > SHORTEST:
        return True
    places = [text.find(part) for part in known]
    return -1 not in places and places == sorted(places)


def test_each_line_has_an_entry():
    found = [(module, text) for module in sorted({*MODULES} - OF_CELERY) for text in lines(module)]
    assert len(found) > 60
    assert [module for module, text in found if text is None] == []
    shown = [" ".join(one.split()) for one in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", TEXT.replace("```", ""))]
    assert [text for _, text in found if not any(is_entry_of(one, text) for one in shown)] == []


def test_each_class_of_error_has_an_entry():
    """Or a page of its own; a base has one of each of its subclasses, and what ends a task on purpose is no error."""
    errors = canvas.errors
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and kind.__module__ == errors.__name__]
    bases = {base for kind in kinds for base in kind.__mro__[1:]} - {errors.ConfigurationError, errors.DecodeError}
    left = [kind for kind in kinds if kind not in bases and not issubclass(kind, errors.TaskPredicate)]
    known = {*re.findall(r"\w+", " ".join(re.findall(r"^### (.*)", TEXT, re.MULTILINE))), *PAGES}
    assert len(left) > 20
    assert [kind.__name__ for kind in left if not {base.__name__ for base in kind.__mro__} & known] == []


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
