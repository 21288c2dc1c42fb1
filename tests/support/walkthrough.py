"""Follows a page literally, from an empty folder: writes its files, types its commands, compares what they print.

A block of a page is one of these:

- a block of any language that begins with ``# path/name.ext``: a file. With ``# name.py, …`` the functions of a ``python`` block replace those of
  the file.
- other ``python``: statements of a program; a ``text`` block after it is what they print.
- ``pycon``: the same, at a prompt. One process runs all statements of a page.
- ``console``: commands after ``$``, each with its output. A worker, a beat, a dashboard and a web server go on in the background; ``^C`` ends all.
- ``text worker``: a part of what the workers print.
- other ``text``: not run. Other blocks need ``<!-- not run: reason -->`` before them.

In an output ``…`` stands for any text of a line, and on a line of its own for any lines; the width of a gap is not compared. ``RUN`` in a command is the last id
that was printed. Only addresses are changed: those of the servers that the test starts, and the ports on which programs of the page listen.
"""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

from tests.support.redis_server import free_port

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"(?:<!-- not run: ([^\n]*) -->\n+)?^```([\w-]+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ")
BACKGROUND = re.compile(r"^(?:[A-Z_]+=\S+ )*(canvas .*\b(worker|beat|dashboard)\b|uvicorn |flask .*\brun\b)")
PORTS = re.compile(r"\b(5000|5555|8000|9808)\b")
ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b")
DEADLINE = 100
SESSION = """
import contextlib, doctest, io, json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    kind, text = json.loads(line)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            if kind == "pycon":
                test = doctest.DocTestParser().get_doctest(text, names, "page", "page", 0)
                doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, clear_globs=False)
                names.update(test.globs)
            else:
                exec(compile(text, "page", "exec"), names)
    except BaseException as exc:
        print(json.dumps(["error", out.getvalue() + repr(exc)]), flush=True)
    else:
        print(json.dumps(["done", out.getvalue()]), flush=True)
"""


def blocks(text):
    """The blocks of a page: why it is not run, its language, the words after that, its text."""
    return [(found[1], found[2], found[3].strip(), found[4]) for found in BLOCK.finditer(text)]


def pattern(expected):
    """A regular expression for an output."""
    lines = []
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            parts = [r"[ \t]+".join(map(re.escape, re.split(r"[ \t]+", part))) for part in line.strip().split("…")]
            lines.append(r"[ \t]*" + ".*?".join(parts) + r"[ \t]*\n")
    return "".join(lines)


class Background:
    """A program that goes on while the page does."""

    def __init__(self, command, folder, environment):
        self.output = ""
        self.process = subprocess.Popen(
            f"exec env {command}", shell=True, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.output += line

    def end(self):
        """End it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._reader.join(5)


class Walkthrough:
    """One page, followed in ``folder`` with the Redis server at ``address`` (``host:port``). ``servers`` has the addresses of others,
    by what stands for them in the page."""

    def __init__(self, page, folder, address, servers=None, **environment):
        self.page = Path(page)
        self.folder = folder
        self.address = address
        self._servers = servers or {}
        self._ports = defaultdict(lambda: str(free_port()))
        self._environment = {
            **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "100",
            "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **environment,
        }  # fmt: skip
        self._background = []
        self._session = None
        self._printed = None
        self._run = None

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        for one in self._background:
            one.end()
        if self._session is not None:
            self._session.stdin.close()
            self._session.wait(60)

    def follow(self):
        """Do what the page says. Raises AssertionError at the first block whose output is another."""
        for reason, language, words, text in blocks(self.page.read_text()):
            if not reason and language != "mermaid":
                self._block(language, words, self._here(text))
        assert not self._printed, f"the page does not show what was printed: {self._printed!r}"

    def _here(self, text):
        """The text with the test's servers, and with ports that are free."""
        for written, real in self._servers.items():
            text = text.replace(written, real)
        text = PORTS.sub(lambda found: self._ports[found[0]], text)
        host, _, port = self.address.rpartition(":")
        return text.replace("localhost:6379", self.address).replace('"localhost", 6379', f'"{host}", {port}')

    def _block(self, language, words, text):
        named = re.match(r"# ([\w.-][\w/.-]*\.\w+)(, .*)?\n", text)
        match language:
            case "python" if named and named[2]:
                self._change(self.folder / named[1], text.partition("\n")[2])
            case _ if named:
                path = self.folder / named[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            case "python" | "pycon":
                self._say(language, text)
            case "text" if words == "worker":
                self._wait_for(text)
            case "text" if self._printed is not None:
                assert re.fullmatch(pattern(text), self._printed), f"expected\n{text}\nprinted\n{self._printed}"
                self._printed = None
            case "text":
                pass
            case "console":
                self._type(text)
            case _:
                raise AssertionError(f"{self.page.name}: a block of {language!r} is not run, and no reason is given")

    def _change(self, path, text):
        """Replace functions of a file."""
        source = path.read_text()
        for new in ast.parse(text).body:
            lines = source.splitlines(keepends=True)
            old = next(node for node in ast.parse(source).body if getattr(node, "name", None) == new.name)
            start = min([old.lineno, *(one.lineno for one in old.decorator_list)]) - 1
            lines[start : old.end_lineno] = [text.rstrip() + "\n"]
            source = "".join(lines)
        path.write_text(source)

    def _say(self, kind, text):
        if self._session is None:
            self._session = subprocess.Popen(
                [sys.executable, "-c", SESSION], cwd=self.folder, env=self._environment, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        if kind == "pycon":
            text = text.replace("…", "...")
        self._session.stdin.write(json.dumps([kind, text]) + "\n")
        self._session.stdin.flush()
        state, printed = json.loads(self._session.stdout.readline())
        assert state == "done", printed
        assert kind != "pycon" or not printed, printed
        if printed:
            self._printed = (self._printed or "") + printed

    def _type(self, text):
        if text.startswith("^C"):
            for one in self._background:
                one.end()
            self._wait_for(text.partition("\n")[2])
            self._background = []
            return
        for part in re.split(r"^(?=\$ )", text, flags=re.MULTILINE):
            if part.strip():
                command, _, expected = part.removeprefix("$ ").partition("\n")
                self._command(command, expected)

    def _command(self, command, expected):
        command = command.replace("RUN", self._run or "RUN")
        if BACKGROUND.match(command):
            one = Background(command, self.folder, self._environment)
            self._background.append(one)
            self._wait_for(expected, [one])
            return
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        printed = done.stdout
        found = ID.findall(printed)
        self._run = found[-1] if found else self._run
        assert done.returncode == 0, f"$ {command}\n{printed}{done.stderr}"
        if expected.strip():
            assert re.fullmatch(pattern(expected), printed.rstrip() + "\n"), (
                f"$ {command}\nexpected\n{expected}\nprinted\n{printed}"
            )

    def _wait_for(self, text, among=None):
        wanted = re.compile(pattern(text))
        among = self._background if among is None else among
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if any(wanted.search(one.output) for one in among):
                return
            time.sleep(0.05)
        raise AssertionError(f"no worker printed\n{text}\nbut\n" + "\n--\n".join(one.output for one in among))
