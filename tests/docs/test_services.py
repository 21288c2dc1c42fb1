"""What the pages on Docker, Kubernetes and systemd give to these programs works: each container's and each unit's command is run with its
environment, is alive by its own check, and ends on SIGTERM. Only addresses differ, and containers do not."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import reduce
from pathlib import Path

import pytest

from canvas.testing.contract import eventually
from tests.docs.test_blocks import read
from tests.docs.test_pages import DOCS
from tests.support.redis_server import free_port
from tests.support.walkthrough import Background, blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
BINARIES = Path(sys.executable).parent


def block(page, name):
    """A file that a page shows."""
    found = (text for _, _, _, text in blocks((DOCS / page).read_text()) if text.startswith(f"# {name}\n"))
    return next(found)


@pytest.fixture
def shop(tmp_path):
    """A folder with the package of the tutorial."""
    (tmp_path / "shop").mkdir()
    for name in ("shop/__init__.py", "shop/app.py", "shop/tasks.py"):
        (tmp_path / name).write_text(block("tutorial/production.md", name))
    return tmp_path


class Service:
    """A container or a unit that runs: a command of canvas with its environment and its check."""

    def __init__(self, name, words, environment, check, folder):
        self.name, port = name, str(free_port())
        named = ["-n", f"{name}@%h"] if "worker" in words and "-n" not in words else []
        here = {"0.0.0.0:9808": f"127.0.0.1:{port}", "/tmp/ready": f"{folder}/ready-{name}"}
        self._check = [re.sub("localhost:9808", f"localhost:{port}", here.get(word, word)) for word in check]
        self._environment = {**os.environ, **environment, "PATH": f"{BINARIES}:{os.environ['PATH']}"}
        command = shlex.join([*(here.get(word, word) for word in words), *named])
        self.running = Background(command, folder, self._environment)

    def alive(self):
        return subprocess.run(self._check, env=self._environment, capture_output=True, check=False).returncode == 0

    def stop(self):
        """End it as the program that runs it does; the exit code."""
        self.running.process.send_signal(signal.SIGTERM)
        return self.running.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.running.end()


def live(services, folder, nodes):
    """All become alive, run a task, and stop as they are told."""
    with ExitStack() as stack:
        running = [stack.enter_context(Service(*one, folder)) for one in services]
        for one in running:
            eventually(one.alive, 60)
        environment = {**os.environ, **services[0][2]}
        status = [BINARIES / "canvas", "-A", "shop.app", "status"]
        shown = subprocess.run(status, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
        assert f"{nodes} online." in shown
        program = "from shop.tasks import order; print(order.delay(17).get(timeout=30))"
        done = [sys.executable, "-c", program]
        assert subprocess.check_output(done, cwd=folder, env=environment, text=True) == "order 17 is done\n"
        assert [(one.name, one.stop()) for one in running] == [(one.name, 0) for one in running]


def merged(base, override):
    """The services of a file of compose, changed by a second one."""
    return {
        name: service | {"environment": service.get("environment", {}) | override.get(name, {}).get("environment", {})}
        for name, service in base.items()
        if override.get(name, {}) is not None
    }


def containers(files, addresses):
    """The services of files of compose that are built from the image."""
    image = block("how-to/docker.md", "Dockerfile")
    entry, default = (json.loads(re.search(rf"^{word} (.*)$", image, re.M)[1]) for word in ("ENTRYPOINT", "CMD"))
    first, *others = (next(iter(read(block("how-to/docker.md", name))))["services"] for name in files)
    services = reduce(merged, others, first)
    for name, service in services.items():
        if "build" in service:
            environment = {key: addresses[value] for key, value in service["environment"].items()}
            check = service["healthcheck"]["test"]
            assert check[0] == "CMD"
            yield name, [*entry, *service.get("command", default)], environment, check[1:]


def test_the_containers_of_compose(shop, redis_server):
    redis_server.client().flushall()
    addresses = {f"redis://redis:6379/{db}": redis_server.url(db) for db in (0, 1)}
    live(list(containers(["compose.yml"], addresses)), shop, "2 nodes")


def test_the_containers_on_rabbitmq_and_postgresql(shop, rabbitmq, postgres):
    addresses = {
        "amqp://guest:guest@rabbitmq//": rabbitmq.url(),
        "db+postgresql://postgres:secret@postgres/postgres": postgres.new_database(),
    }
    live(list(containers(["compose.yml", "compose.override.yml"], addresses)), shop, "2 nodes")


def test_the_container_of_a_pod(shop, redis_server):
    redis_server.client().flushall()
    [deployment] = read(block("how-to/kubernetes.md", "worker.yml"))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert (
        deployment["spec"]["selector"]["matchLabels"].items()
        <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )
    environment = {"SHOP_BROKER": redis_server.url(0), "SHOP_RESULTS": redis_server.url(1)}
    assert {one["name"] for one in container["env"]} == set(environment)
    words = ["canvas", "-A", "shop.app", *container["args"]]
    [port] = [str(one["containerPort"]) for one in container["ports"]]
    paths = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")]
    program = "import sys; from urllib.request import urlopen; [urlopen(url) for url in sys.argv[1:]]"
    probe = [sys.executable, "-c", program, *(f"http://localhost:{port}{path}" for path in paths)]
    live([("pod", words, environment, probe)], shop, "1 node")


def test_the_unit_of_systemd(shop, redis_server):
    unit = block("how-to/systemd.md", "/etc/systemd/system/shop-worker@.service")
    unit = (
        unit.replace("/srv/shop/env/bin", str(BINARIES))
        .replace("/srv/shop", str(shop))
        .replace("User=shop", "User=root")
    )
    path = shop / "shop-worker@.service"
    path.write_text(unit)
    found = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    command = re.search("^ExecStart=(.*)$", unit, re.M)[1].replace("%%", "%").replace("%i", "celery")
    redis_server.client().flushall()
    environment = {"SHOP_BROKER": redis_server.url(0), "SHOP_RESULTS": redis_server.url(1)}
    live(
        [("unit", [*shlex.split(command), "--ready-file", "/tmp/ready"], environment, ["test", "-e", "/tmp/ready"])],
        shop,
        "1 node",
    )
