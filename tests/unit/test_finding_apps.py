"""``-A``: which app it names, and what is said where it names none."""

import importlib
import sys

import pytest

from canvas import Canvas
from canvas.cli.find_app import find_app
from canvas.errors import ConfigurationError

APP = "from {library} import {name} as App\n{attribute} = App({label!r}, set_as_current=False)\n"
FILES = {
    "single.py": ("app",),
    "named.py": ("celery",),
    "odd.py": ("first", "second"),
    "pack/__init__.py": (),
    "pack/celery.py": ("app",),
    "imports/__init__.py": "from imports.celery import app as celery_app\n",
    "imports/celery.py": ("app",),
    "deep/__init__.py": (),
    "deep/main.py": ("app", "other"),
    "with-dash.py": ("celery",),
    "2026.py": ("app",),
    "my-pack/__init__.py": (),
    "my-pack/celery.py": ("app",),
}
BROKEN = {
    "away.py": "import no_such_module_here\n",
    "zero.py": "def f():\n    return 1 / 0\nf()\n",
    "syntax.py": "def f(:\n",
    "setting.py": "from canvas import Canvas\napp = Canvas('x', worker_concurrency='four').conf.broker_url\n",
    "brokenpack/__init__.py": "",
    "brokenpack/celery.py": "import no_such_module_here\n",
    "empty.py": "number = 3\n",
    "theirs.py": "from celery import Celery\nqueue = Celery(set_as_current=False)\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    # Python does not notice that a file was written again within a second with the same size.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {file.partition("/")[0].removesuffix(".py") for file in (*FILES, *BROKEN)}:
            del sys.modules[name]


def write(folder, library, name):
    for file, content in FILES.items():
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        made = [APP.format(library=library, name=name, attribute=one, label=f"{file}:{one}") for one in content]
        path.write_text(content if isinstance(content, str) else "".join(made))
    importlib.invalidate_caches()


NAMES = [
    "with-dash", "with-dash:celery", "2026", "my-pack", "my-pack.celery:app",
    "single", "single:app", "single.app", "named", "named.celery", "odd", "odd:second", "odd.second", "pack",
    "pack.celery", "pack.celery:app", "pack.celery.app", "imports", "imports.celery", "imports:celery_app",
    "imports.celery_app", "deep.main", "deep.main:other", "deep.main.other",
]  # fmt: skip


def test_names_mean_what_they_mean_to_celery(folder):
    from celery.app.utils import find_app as theirs

    found = {}
    for library, name, find in (("celery", "Celery", theirs), ("canvas", "Canvas", find_app)):
        write(folder, library, name)
        found[library] = [find(one).main for one in NAMES]
        for module in [one for one in sys.modules if one.partition(".")[0] in {n.partition(".")[0] for n in NAMES}]:
            if str(folder) in (getattr(sys.modules[module], "__file__", None) or ""):
                del sys.modules[module]
    assert found["canvas"] == found["celery"]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("away", ["away.py", "line 1", "import no_such_module_here", "No module named 'no_such_module_here'"]),
        ("brokenpack", ["brokenpack/celery.py", "No module named 'no_such_module_here'"]),
        ("brokenpack.celery:app", ["brokenpack/celery.py", "No module named 'no_such_module_here'"]),
        ("zero", ["zero.py", "line 2", "ZeroDivisionError: division by zero"]),
        ("syntax", ["syntax.py", "SyntaxError"]),
        ("setting", ["setting.py", "worker_concurrency", "'four'"]),
        ("empty", ["module empty defines no Canvas app", "-A proj.main:app"]),
        ("theirs", ["queue of module theirs is a Celery app", "run `canvas celery -A theirs ...`"]),
        ("nowhere", ["there is no module 'nowhere'"]),
        ("empt", ["there is no module 'empt'", "did you mean 'empty'"]),
        ("empty.x.y", ["there is no module 'empty.x'"]),
        ("empty:numbr", ["module empty has no 'numbr'", "did you mean 'number'"]),
        ("empty:number", ["expected a Canvas app", "int 3"]),
        ("./empty.py", ["write -A empty"]),
        ("empty.py", ["write -A empty"]),
        ("./brokenpack/celery.py", ["write -A brokenpack.celery"]),
        ("empty.py:app", ["write -A empty:app"]),
        ("empty:", ["write -A empty"]),
        ("", ["-A ''", "such as -A proj:app"]),
        (":app", ["such as -A proj:app"]),
        (".", ["such as -A proj:app"]),
        ("..empty", ["write -A empty"]),
        ("two words", ["such as -A proj:app"]),
    ],
)
def test_what_is_said_of_others(folder, name, texts):
    for file, content in BROKEN.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content)
    importlib.invalidate_caches()
    with pytest.raises(ConfigurationError) as caught:
        find_app(name)
    said = str(caught.value)
    assert said.startswith("-A ")
    assert [text for text in texts if text not in said] == []
    assert "/canvas/cli/" not in said
    assert isinstance(Canvas("still", set_as_current=False), Canvas)
