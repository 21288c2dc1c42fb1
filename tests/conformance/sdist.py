"""Celery's source distribution: downloaded with pip, unpacked once."""

import subprocess
import sys
import tarfile
from pathlib import Path

VERSION = "5.7.0"


def unpacked(folder: Path) -> Path:
    """The root of Celery's sources below ``folder``; downloads them when they are not there."""
    root = folder / f"celery-{VERSION}"
    if not (root / "t").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", *command, f"celery=={VERSION}"], check=True)
        with tarfile.open(folder / f"celery-{VERSION}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return root
