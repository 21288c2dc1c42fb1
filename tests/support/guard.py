"""Programs of a test end with the process that started them, even if that is killed by SIGKILL."""

import os
import subprocess
import uuid

_KILL = """
read _
folder=$1; shift
while [ $# -gt 0 ]; do
    grep -qs "$3" "/proc/${2#-}/cmdline" && kill -s "$1" -- "$2"
    shift 3
done
rm -rf "$folder"
"""

_KILL_LEFT = """
read _
sleep 2  # the guards of servers come first
for found in $(grep -lsF "$1" /proc/[0-9]*/environ); do
    found=${found#/proc/}
    kill -s KILL "${found%/environ}"
done
"""
_MARK = "STARTED_BY_TESTS_OF"
"""The variable by which a program is known that a process of the tests has started, whoever its parent is now."""


def end_programs_with_this_process():
    """Kill what this process has started and left, when it has ended. A worker that outlives its test looks for its
    server for ever, and would take the messages of another test whose server gets the same port."""
    mark = uuid.uuid4().hex
    os.environ[_MARK] = mark
    reading, _ = os.pipe()
    _start(_KILL_LEFT, f"{_MARK}={mark}", stdin=reading)
    os.close(reading)


def unmarked():
    """The environment of a program that may outlive this process."""
    return {name: value for name, value in os.environ.items() if name != _MARK}


def _start(script, *words, stdin):
    return subprocess.Popen(
        ["sh", "-c", script, "guard", *words], stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env=unmarked(),
    )  # fmt: skip


class Guard:
    """A process of its own that kills servers, and deletes their folder, when this process has ended: it reads the end
    of a pipe of which only this process has the other end."""

    def __init__(self, folder, *servers):
        """``servers``: of each a signal's name, its process id (negative for its group), and a word of its command, so
        that no other process with that id is killed."""
        reading, self._alive = os.pipe()
        words = [str(word) for server in servers for word in server]
        self._process = _start(_KILL, str(folder), *words, stdin=reading)
        os.close(reading)

    def end(self):
        """The owner ends the servers itself."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            os.close(self._alive)
            self._process = None
