"""Programs that a test leaves end with the process that has run it."""

import subprocess
import sys
from pathlib import Path

from canvas.testing.contract import eventually
from tests.support.process_signals import kill
from tests.support.processes import ROOT

_RUN = """
import subprocess, sys
from tests.support.guard import end_programs_with_this_process
end_programs_with_this_process()
subprocess.run(["sh", "-c", "setsid sleep 600 & echo $!"], check=True)
sys.stdin.read()
"""


def test_a_program_that_has_another_parent_ends_with_the_process_that_has_started_it():
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    left = Path(f"/proc/{int(run.stdout.readline())}/cmdline")
    eventually(lambda: "sleep" in left.read_text())  # the shell has forked, and its child has started it
    kill(run.pid)
    run.communicate()
    eventually(lambda: not left.exists())
