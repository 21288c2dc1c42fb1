"""Servers of a test end with the process that started them, even if that is killed by SIGKILL."""

import os
import subprocess

_KILL = """
read _
folder=$1; shift
while [ $# -gt 0 ]; do
    grep -qs "$3" "/proc/${2#-}/cmdline" && kill -s "$1" -- "$2"
    shift 3
done
rm -rf "$folder"
"""


class Guard:
    """A process of its own that kills servers, and deletes their folder, when this process has ended: it reads the end
    of a pipe of which only this process has the other end."""

    def __init__(self, folder, *servers):
        """``servers``: of each a signal's name, its process id (negative for its group), and a word of its command, so
        that no other process with that id is killed."""
        reading, self._alive = os.pipe()
        words = [str(word) for server in servers for word in server]
        self._process = subprocess.Popen(
            ["sh", "-c", _KILL, "guard", str(folder), *words], stdin=reading, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(reading)

    def end(self):
        """The owner ends the servers itself."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            os.close(self._alive)
            self._process = None
