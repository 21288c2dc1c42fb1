"""A private RabbitMQ node for tests, shared by all processes of one run of pytest.

The first process that needs the node starts a guard (this file as a program), which starts the node. Each user holds a
shared lock on a file; the guard waits for an exclusive one, so the node ends with the last user, however users end.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.debian import install as install_package
from tests.support.guard import Guard, unmarked
from tests.support.processes import ROOT
from tests.support.redis_server import free_port

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The inner script: the one on PATH changes to the user rabbitmq and drops the environment."""
ROOT_OF_ANOTHER = os.environ.get("TEST_RABBITMQ_ROOT", "")
"""The root folder of another Debian system, whose server the tests use in place of this system's."""
IN_ROOT = ["chroot", ROOT_OF_ANOTHER] if ROOT_OF_ANOTHER else []
VHOSTS = 64
"""How many a node has from its start: more make it start later. Others are added one by one, a second each."""
START_WITHIN = 180.0
_FEW_THREADS = "+S 2:2 +SDio 4 +A 8 +sbwt none +sbwtdcpu none +sbwtdio none"


def install():
    """Install Debian's server if it is missing; nothing is started. Raises RuntimeError when that cannot be done."""
    if SERVER.exists() or ROOT_OF_ANOTHER:
        return
    install_package("rabbitmq-server", f"the tests need RabbitMQ, and {SERVER} is missing")


class RabbitMQNode:
    """A node in a directory of its own; ``stop`` and ``start`` again keep the ports and the data."""

    def __init__(self, folder, configuration="", advanced="[].", beside=None, plugins=()):
        """``configuration`` and ``advanced``: further lines of rabbitmq.conf, and the terms of advanced.config.
        ``beside``: another node, which has started, and whose cluster this one joins. ``plugins``: names of plug-ins."""
        self.folder = Path(folder)
        self._plugins = plugins
        self._configuration, self._advanced = configuration, advanced
        self._epmd = self._server = self._guard = None
        self._beside, self._cookie = beside, secrets.token_hex(16)
        if beside is not None:
            self._cookie = beside._cookie
            self._configuration += (
                "cluster_formation.peer_discovery_backend = classic_config\n"
                f"cluster_formation.classic_config.nodes.1 = {beside.name}\n"
            )
        self._has_started = False
        self._choose_ports()

    def _choose_ports(self):
        self.port, self._distribution = free_port(), free_port()
        self._epmd_port = free_port() if self._beside is None else self._beside._epmd_port
        self.name = f"canvas-{os.getpid()}-{self.port}@localhost"
        self._write_configuration()

    def start(self):
        """Start it and wait until it accepts connections. Raises RuntimeError with its log when it does not.

        Another process may take a port that was free a moment ago: before the first start, others are chosen then.
        """
        for attempt in range(3):
            try:
                self._start()
            except RuntimeError as exc:
                if self._has_started or attempt == 2 or "eaddrinuse" not in str(exc):
                    raise
                self._choose_ports()
            else:
                self._has_started = True
                return self

    def _start(self):
        install()
        if self._epmd is None and self._beside is None:
            # Without one of ours, the node would leave a daemon behind.
            self._epmd = subprocess.Popen(
                [*IN_ROOT, "epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"], stdin=subprocess.DEVNULL
            )
        with open(self.folder / "output", "ab") as output:
            self._server = subprocess.Popen(
                [*IN_ROOT, str(SERVER)], env=self._environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=self.folder, start_new_session=True,  # a node that fails leaves a dump in its directory
            )  # fmt: skip
        names = [("KILL", self._epmd.pid, "epmd")] if self._epmd is not None else []
        self._guard = Guard(self.folder, ("KILL", -self._server.pid, "rabbitmq-server"), *names)
        deadline = time.monotonic() + START_WITHIN
        while not answers(self.port):
            if self._server.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "output").read_text(errors="replace")[-3000:]
                self.stop(signal.SIGKILL)
                raise RuntimeError(f"RabbitMQ did not start:\n{said}")
            time.sleep(0.05)

    @property
    def pid(self):
        """The process id of the node."""
        return self._server.pid

    def url(self, vhost):
        """The URL of a vhost."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{vhost}"

    def control(self, *words):
        """Run rabbitmqctl; what it prints."""
        return _control(self.name, self._environment(), *words)

    def kill(self):
        """Kill the node, and not the name server; ``start`` starts it again."""
        self._guard.end()
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()
        self._server = None

    def stop(self, number=signal.SIGTERM):
        """End the node by a signal to its process group, then the name server of its own."""
        if self._guard is not None:
            self._guard.end()
        for process, grouped in ((self._server, True), (self._epmd, False)):
            if process is None:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number) if grouped else process.send_signal(signal.SIGKILL)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._server = self._epmd = None

    def _write_configuration(self):
        folder, cookie = self.folder, self.folder / ".erlang.cookie"
        cookie.unlink(missing_ok=True)
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        (folder / "enabled_plugins").write_text(f"[{','.join(self._plugins)}].\n")
        (folder / "advanced.config").write_text(f"{self._advanced}\n")
        vhosts = [f"t{number}" for number in range(VHOSTS)]
        rights = {"user": "guest", "configure": ".*", "write": ".*", "read": ".*"}
        definitions = {
            "users": [{"name": "guest", "password": "guest", "tags": "administrator"}, {"name": "norights", "password": "secret", "tags": ""}],
            "vhosts": [{"name": name} for name in ("/", *vhosts)],
            "permissions": [{**rights, "vhost": name} for name in ("/", *vhosts)],
        }  # fmt: skip
        (folder / "definitions.json").write_text(json.dumps(definitions))
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "loopback_users = none\n"
            "log.console = false\n"
            f"log.file = {folder}/log/rabbit.log\n"
            "log.file.level = warning\n"
            "disk_free_limit.absolute = 16MB\n"
            "vm_memory_high_watermark.absolute = 1GB\n"
            "collect_statistics_interval = 60000\n"
            f"load_definitions = {folder}/definitions.json\n"
            f"{self._configuration}"
        )

    def _environment(self):
        folder = self.folder
        return {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder),
            "RABBITMQ_NODENAME": self.name, "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port), "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia", "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_FEATURE_FLAGS_FILE": f"{folder}/feature_flags", "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null", "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _FEW_THREADS,
        }  # fmt: skip


def _control(name, environment, *words):
    command = [*IN_ROOT, str(SERVER.parent / "rabbitmqctl"), "--quiet", "--node", name, *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120, text=True).stdout


def answers(port):
    """Whether a broker answers an AMQP header on this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
    except OSError:
        return False


class SharedRabbitMQ:
    """The node of this run of pytest, as one of its users: ``with SharedRabbitMQ() as node: node.url()``."""

    def __init__(self, run=None):
        run = run or os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
        self._folder = Path(tempfile.gettempdir(), f"canvas-test-rabbitmq-{run}")
        self._port_file = self._folder / "port"
        self._users = None
        self.port = 0

    def __enter__(self):
        while not self._joined():
            pass
        return self

    def _joined(self):
        """Become a user of the node, which is started if need be; False where a guard has just removed the folder."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError), _locked(self._folder / "starting"):
            # A guard that is stopping its node holds this lock until node and folder are gone.
            self._users = open(self._folder / "users", "a")  # noqa: SIM115 - it is held until __exit__
            fcntl.flock(self._users, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(self._users.fileno()), os.stat(self._folder / "users")):
                if not self._port_file.exists():
                    self._start_guard()
                self.port = int(self._port_file.read_text())
                return True
        return False

    def __exit__(self, *exc):
        fcntl.flock(self._users, fcntl.LOCK_UN)
        self._users.close()

    def url(self, vhost=None, user="guest", password="guest"):
        """A URL of a vhost: the named one, or one that no test of this run has had."""
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/{self.new_vhost() if vhost is None else vhost}"

    def new_vhost(self):
        """An empty vhost of the node."""
        with _locked(self._folder / "vhosts"):
            counter = self._folder / "next_vhost"
            number = int(counter.read_text()) if counter.exists() else 0
            counter.write_text(str(number + 1))
        name = f"t{number}"
        if number >= VHOSTS:
            self.control("add_vhost", name)
            self.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return name

    def control(self, *words):
        node = json.loads((self._folder / "node").read_text())
        return _control(node["name"], node["environment"], *words)

    def _start_guard(self):
        install()
        with open(self._folder / "guard", "ab") as output:
            guard = subprocess.Popen(
                [sys.executable, "-m", "tests.support.rabbitmq", str(self._folder)], cwd=ROOT, env=unmarked(),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        while not self._port_file.exists():
            if guard.poll() is not None:
                raise RuntimeError((self._folder / "guard").read_text(errors="replace")[-3000:])
            time.sleep(0.05)


@contextlib.contextmanager
def _locked(path):
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def guard(folder):
    """Run a node until no process has a lock on ``users`` any more, then remove the folder."""
    data = folder / "node_data"
    data.mkdir()
    node = RabbitMQNode(data).start()
    try:
        (folder / "node").write_text(json.dumps({"name": node.name, "environment": node._environment()}))
        (folder / "port.new").write_text(str(node.port))
        (folder / "port.new").rename(folder / "port")
        with open(folder / "users", "a") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            node.stop()
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        node.stop()


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        install()
    else:
        guard(Path(sys.argv[1]))
