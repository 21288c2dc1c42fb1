"""Run Celery's own test suites against canvas, and compare the failures with the list in `known.toml`.

    python -m tests.conformance [NAME ...]     (default: the five that canvas is a part of)

`--broker amqp` has the integration tests send their messages through RabbitMQ, with results in Redis;
`--results rpc` has the results sent back as messages too.

`celery-canvas`: Celery's client, a worker of canvas. `canvas-celery`: the other way round. `canvas-canvas`: both are
canvas. `unit`: Celery's unit tests of tasks, signatures, results and schedules, without a broker. `as-celery`: unit
tests as Celery has them, of which the imports are canvas by `canvas.as_celery`. `celery-celery`: both are Celery, to see
what a test does without canvas.
"""

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.conformance import rewrite, sdist
from tests.conformance.listed import judge, known, races
from tests.support.processes import WorkerProcess
from tests.support.rabbitmq import SharedRabbitMQ
from tests.support.redis_server import RedisServer

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / ".conformance"
INTEGRATION = ["test_canvas.py", "test_tasks.py", "test_group_chains.py", "test_inspect.py"]
UNIT = [
    "tasks/test_canvas.py",
    "tasks/test_chord.py",
    "tasks/test_context.py",
    "tasks/test_result.py",
    "tasks/test_stamping.py",
    "tasks/test_states.py",
    "tasks/test_tasks.py",
    "app/test_schedules.py",
]
"""Not test_trace.py: all of it tests functions inside Celery's tracer."""
AS_CELERY = ["app/test_beat.py"]
CELERYS = {
    "celery.contrib.pytest": "tests.conformance.celery_client",
    "celery.utils.nodenames": "tests.conformance.nodenames",
}
NODENAME = "conformance@localhost"
BROKERS = ("redis", "amqp")
RESULTS = ("redis", "rpc")
RACE_ATTEMPTS = 3
PYTEST = """\
[pytest]
python_classes = test_*
"""
WORKER = """\
from {library} import {name} as App
app = App("celery.tests")
app.conf.update(broker_url={broker!r}, result_backend={results!r}, result_extended=True)
import t.integration.tasks
app.register_task(t.integration.tasks.ClassBasedAutoRetryTask)
"""


def prepare() -> None:
    """Write the rewritten tests, one folder for each library that imports them."""
    source = sdist.unpacked(WORK)
    for library, modules in (("canvas", rewrite.MODULES), ("celery", CELERYS)):
        target = WORK / library / "t"
        rewrite.copy_tree(source / "t" / "integration", target / "integration", modules)
        for folder in ("tasks", "app"):
            rewrite.copy_tree(source / "t" / "unit" / folder, target / "unit" / folder, modules)
        for name in ("__init__.py", "canvas_helpers.py", "skip.py"):
            (target / name).write_text((source / "t" / name).read_text())
        (target / "unit" / "__init__.py").write_text("")
        (target / "unit" / "conftest.py").write_text((HERE / "unit_fixtures.py").read_text())
        if library == "canvas":
            with (target / "integration" / "conftest.py").open("a") as conftest:
                conftest.write("\nfrom tests.conformance.canvas_client import ZZZZ_set_app_current\n")
        else:
            with (target / "integration" / "conftest.py").open("a") as conftest:
                conftest.write("\nfrom tests.conformance.celery_client import celery_parameters, use_celery_app_trap\n")
        (target.parent / "pytest.ini").write_text(PYTEST)
    target = WORK / "as-celery" / "t" / "unit"
    rewrite.copy_tree(source / "t" / "unit" / "app", target / "app", {})
    for folder in (target.parent, target):
        (folder / "__init__.py").write_text("")
    (target / "conftest.py").write_text((HERE / "unit_fixtures.py").read_text())
    (target.parent.parent / "pytest.ini").write_text(PYTEST)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}", "PYTHONUNBUFFERED": "1", **more}


def run_pytest(
    name: str, library: str, files: list[str], chosen: str, timeout: int = 300, program: Sequence[str] = (),
    **variables: str,
) -> dict[str, str]:  # fmt: skip
    """The outcome of each test, by its name: passed, failed or skipped. ``timeout``: seconds that a test may take;
    ``program``: arguments of the interpreter, with which it runs pytest."""
    report = WORK / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        *program,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        f"--junitxml={report}",
        "-o",
        f"timeout={timeout}",
    ]
    command += ["-W", "ignore", "--tb=short", *(["-k", chosen] if chosen else [])]
    with (WORK / f"{name}.log").open("w") as log:
        subprocess.run(
            [*command, *files], cwd=WORK / library, env=environment(**variables), stdout=log, stderr=log, check=False
        )
    if not report.exists():
        raise SystemExit(f"{name}: pytest wrote no report; see {WORK / name}.log")
    outcomes: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        # The parts of a test that has subtests are cases of its name.
        test, outcome = f"{case.get('classname')}.{case.get('name')}", _outcome(case)
        outcomes[test] = max(outcomes.get(test, outcome), outcome, key=_GRAVITY.index)
    return outcomes


_GRAVITY = ("skipped", "passed", "failed")


def _outcome(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


class Servers(NamedTuple):
    """Where messages and results are."""

    broker: str = "redis"
    results: str = "redis"

    def run(self, name: str) -> str:
        """How the list of failures names a run on these servers."""
        return name if self == Servers() or name in ("unit", "as-celery") else f"{name} {self.broker}+{self.results}"

    @contextmanager
    def urls(self, redis: RedisServer) -> Iterator[tuple[str, str]]:
        """The URLs of the broker, which is empty, and of the results."""
        results = redis.url(1) if self.results == "redis" else "rpc://"
        if self.broker == "redis":
            yield redis.url(0), results
        else:
            with SharedRabbitMQ() as node:
                yield node.url(), results


def run_integration(name: str, chosen: str, servers: Servers) -> dict[str, str]:
    """The integration tests, with a client and a worker of the libraries that ``name`` gives."""
    client, worker = name.split("-")
    with RedisServer() as server, servers.urls(server) as (broker, results):
        module = f"worker_of_{client}_{servers.broker}_{servers.results}"
        text = WORKER.format(
            library=worker,
            name="Celery" if worker == "celery" else "Canvas",
            broker=broker,
            results=results,
        )
        (WORK / worker / f"{module}.py").write_text(text)
        options = ("-P", "prefork", "-c", "1", "-n", NODENAME)
        with WorkerProcess(
            worker,
            broker,
            results,
            *options,
            app=f"{module}:app",
            cwd=WORK / worker,
            env=environment(**_redis(server)),
        ) as running:
            files = [f"t/integration/{file}" for file in INTEGRATION]
            variables = {"TEST_BROKER": broker, "TEST_BACKEND": results, **_redis(server)}
            log = servers.run(name).replace(" ", "-")
            found = run_pytest(log, client, files, chosen, **variables)
            for attempt in range(RACE_ATTEMPTS):
                if lost := [test for test in races(servers.run(name), found) if found[test] == "failed"]:
                    found |= run_pytest(f"{log}-race-{attempt}", client, [*map(_node_id, lost)], "", **variables)
        (WORK / f"{log}-worker.log").write_text("".join(running.log))
    return found


def _node_id(test: str) -> str:
    """How pytest names a test on its command line: of ``t.integration.test_canvas.test_chord.test_one[a.b]``."""
    name, bracket, parameters = test.partition("[")
    *module, group, function = name.split(".")
    return f"{'/'.join(module)}.py::{group}::{function}{bracket}{parameters}"


def _redis(server: RedisServer) -> dict[str, str]:
    return {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port), "CONFORMANCE_NODENAME": NODENAME}


def run_unit(name: str, chosen: str, servers: Servers) -> dict[str, str]:
    return run_pytest(name, "canvas", [f"t/unit/{file}" for file in UNIT], chosen, timeout=20)


def run_as_celery(name: str, chosen: str, servers: Servers) -> dict[str, str]:
    files = [f"t/unit/{file}" for file in AS_CELERY]
    return run_pytest(name, "as-celery", files, chosen, 20, ("-m", "canvas.as_celery"))


RUNS = {
    "celery-canvas": run_integration,
    "canvas-celery": run_integration,
    "canvas-canvas": run_integration,
    "unit": run_unit,
    "as-celery": run_as_celery,
    "celery-celery": run_integration,
}
DEFAULT = ["celery-canvas", "canvas-celery", "canvas-canvas", "unit", "as-celery"]
"""Not `celery-celery`: it shows what a test does without canvas."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(RUNS)}; default: {', '.join(DEFAULT)}"
    )
    parser.add_argument("-k", dest="chosen", default="", help="run only the tests that pytest's -k chooses")
    parser.add_argument("-j", dest="jobs", type=int, default=2, help="runs at the same time (default: 2)")
    parser.add_argument("--broker", choices=BROKERS, default="redis", help="the messages' server (default: redis)")
    parser.add_argument("--results", choices=RESULTS, default="redis", help="the results' server (default: redis)")
    options = parser.parse_args()
    names = options.names or DEFAULT
    servers = Servers(options.broker, options.results)
    if servers.results == "rpc" and servers.broker == "redis":
        parser.error("--results rpc needs --broker amqp: canvas sends results as messages through RabbitMQ alone")
    if unknown := set(names) - set(RUNS):
        parser.error(f"unknown run {', '.join(sorted(unknown))}; expected {', '.join(RUNS)}")
    prepare()
    started = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as threads:
        outcomes = threads.map(lambda name: RUNS[name](name, options.chosen, servers), names)
        found = dict(zip(map(servers.run, names), outcomes, strict=True))
    wrong = []
    for name, outcomes in found.items():
        counts = {kind: sum(is_ == kind for is_ in outcomes.values()) for kind in ("passed", "failed", "skipped")}
        listed = sum(outcomes.get(test) == "failed" for test in known(name))
        print(
            f"{name}: {counts['passed']} passed, {counts['failed']} failed ({listed} listed), {counts['skipped']} skipped"
        )
        wrong += judge(name, outcomes, whole=not options.chosen)
    print("\n".join(wrong), f"{time.monotonic() - started:.0f} s; logs in {WORK}", sep="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
