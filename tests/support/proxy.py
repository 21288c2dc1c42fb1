"""A TCP proxy in front of a Redis server: it knows which command passes, and can delay, cut and silence connections."""

import hashlib
import socket
import struct
import threading
import time
from importlib import resources

from canvas.drivers.redis.connection.script_texts import script


def _named():
    folder = resources.files("canvas.drivers.redis") / "scripts"
    names = [path.name.removesuffix(".lua") for path in folder.iterdir() if path.name.endswith(".lua")]
    return {script(name)[1].encode(): name for name in names}


SCRIPTS = _named()


class Request:
    """One command on its way to the server: its words as bytes; a script's ``name`` is the script's file's."""

    def __init__(self, words):
        self.words = words
        self.name = words[0].decode().upper()
        self.arguments = words[1:]
        if self.name in ("EVALSHA", "EVAL"):
            digest = words[1] if self.name == "EVALSHA" else hashlib.sha1(words[1]).hexdigest().encode()
            self.name = SCRIPTS[digest]
            self.arguments = words[3 + int(words[2]) :]


class Proxy:
    """``with Proxy(server.port) as proxy: proxy.url(0)``.

    ``on_request`` is called with each :class:`Request` before it goes on; what it returns, if anything, is called with
    the first bytes of the answer before those go on. Either may end the process that asked: then nothing goes on.
    """

    def __init__(self, port, on_request=None):
        self._target = port
        self._on_request = on_request
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._lock = threading.Lock()
        self._sockets = set()
        self.delay = 0.0
        """Seconds for which each request waits."""
        self._silent = set()
        self.seen = 0
        """Requests so far."""

    def url(self, db=0):
        return f"redis://127.0.0.1:{self.port}/{db}"

    def cut(self):
        """Reset every connection."""
        with self._lock:
            sockets = list(self._sockets)
        for one in sockets:
            _reset(one)

    def lead_to(self, port):
        """Connect to another port from now on."""
        self._target = port

    def silence(self):
        """Let nothing more through on the connections that are open, which stay open; new ones work."""
        with self._lock:
            self._silent |= self._sockets

    def __enter__(self):
        self._accepting.start()
        return self

    def __exit__(self, *exc):
        # Closing does not wake the thread that accepts. When the process has been stopped and goes on, that thread's
        # system call begins anew, and would take the connections of the next proxy, whose socket has the same number.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(20)
        self._listener.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                _reset(near)
                continue
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {near, far}
            answers = []
            for copy in (self._requests, self._answers):
                threading.Thread(target=self._copy, args=(copy, near, far, answers), daemon=True).start()

    def _copy(self, copy, near, far, answers):
        try:
            copy(near, far, answers)
        except OSError:
            pass  # one side is gone, and the other goes with it
        finally:
            for one in (near, far):
                _reset(one)
            with self._lock:
                self._sockets -= {near, far}
                self._silent -= {near, far}

    def _requests(self, near, far, answers):
        held = b""
        while got := near.recv(1 << 16):
            held += got
            while parsed := _command(held):
                words, size = parsed
                whole, held = held[:size], held[size:]
                if near in self._silent:
                    continue
                if self.delay:
                    time.sleep(self.delay)
                with self._lock:
                    self.seen += 1
                on_answer = self._on_request(Request(words)) if self._on_request else None
                if on_answer is not None:
                    answers.append(on_answer)
                far.sendall(whole)

    def _answers(self, near, far, answers):
        while got := far.recv(1 << 16):
            if far in self._silent:
                continue
            while answers:
                answers.pop(0)(got)
            near.sendall(got)


def _reset(one):
    """Close with a reset, whatever is on its way."""
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # closed by the other thread
    one.close()


def _command(held):
    """The words of the first whole command and its length in bytes; ``None`` while it is not all there."""
    lines = held.find(b"\r\n")
    if lines < 0:
        return None
    count, at, words = int(held[1:lines]), lines + 2, []
    for _ in range(count):
        end = held.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(held[at + 1 : end])
        at = end + 2 + size + 2
        if len(held) < at:
            return None
        words.append(held[end + 2 : end + 2 + size])
    return words, at
