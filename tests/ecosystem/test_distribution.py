"""The distribution ``celery-on-canvas``: the name ``celery`` for images where Celery is not installed."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / ".packaging" / "celery-on-canvas"
PROGRAM = """
import sys
import celery
from celery.schedules import crontab
import canvas
app = celery.Celery("x", broker="memory://", backend="memory://")
print(type(app) is canvas.Canvas, celery.__version__, sys.modules["celery"] is celery)
"""


def test_the_package_serves_the_name():
    """Its folder comes before the installed packages, Celery's own among them."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["True", "5.7.0", "True"], done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_in_an_environment_of_its_own(tmp_path):
    """Its command and its module, beside canvas and canvas' requirements, without Celery and kombu."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT, SOURCE], check=True, timeout=300
    )
    names = [name for wheel in tmp_path.glob("celery_on_canvas*.whl") for name in zipfile.ZipFile(wheel).namelist()]
    assert "celery/__init__.py" in names
    venv.create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-q", *tmp_path.glob("*.whl")],
        check=True,
        timeout=300,
    )
    assert subprocess.check_output([python, "-c", PROGRAM], text=True, timeout=60).split() == ["True", "5.7.0", "True"]
    (tmp_path / "proj.py").write_text("from celery import Celery\napp = Celery('proj', broker='memory://')\n")
    done = subprocess.run(
        [python.parent / "celery", "-A", "proj", "report"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "software -> canvas" in done.stdout, done.stderr
