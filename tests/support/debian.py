"""Packages of Debian's that tests need, installed when they are missing."""

import os
import shutil
import subprocess


def install(package, reason):
    """Install a package with apt-get. Raises RuntimeError when that cannot be done; ``reason``: who needs it."""
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(f"{reason}: install Debian's {package}")
    environment = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
        done = subprocess.run(
            ["apt-get", "-qq", *words], env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"apt-get {words[0]} failed: {reason}\n{done.stderr[-2000:]}")
