"""Worker commands on a test's own server."""

from tests.support.processes import WorkerProcess


def start(bench, *arguments, library="canvas", **options):
    broker, backend, ledger = bench.urls()
    return WorkerProcess(library, broker, backend, *arguments, ledger=ledger, **options)


def task(app, name):
    return app.tasks[f"t.{name}"]
