"""A process dies whose messages are in its memory and whose results are in SQLite: the next one ends its chords."""

import os
import signal

import pytest

from canvas import Canvas, chord
from canvas.testing.contract import eventually
from canvas.testing.worker import start_worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
INSTANTS = {
    "a part is counted, others are not": ("chords", "record", 2, False),
    "the last part is counted": ("chords", "record", 3, True),
    "before the body is sent": ("settler", "dispatch_chord", 1, True),
}
"""Of each: the part of the driver, its method, the call, and whether the chord is ready by then."""


def made(broker, url, ledger):
    app = Canvas("own", broker=broker, backend=url, set_as_current=False, worker_lease_ttl=1)

    @app.task(name="note")
    def note(value):
        with open(ledger, "a") as file:
            file.write(f"{value}\n")
        return value

    return app, note


def run_and_die(url, ledger, instant):
    """Run a chord in a process that is killed at an instant. Returns its exit code."""
    part, method, number, _ = INSTANTS[instant]

    def body():
        app, note = made("memory://dying", url, ledger)
        target, calls = getattr(app.driver, part), []
        whole = getattr(target, method)

        def dying(*arguments):
            calls.append(method)
            if method == "dispatch_chord":
                os.kill(os.getpid(), signal.SIGKILL)
            found = whole(*arguments)
            if len(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        setattr(target, method, dying)
        with start_worker(app, pool="solo", perform_ping_check=False):
            header = [note.s(number).set(task_id=f"member-{number}") for number in range(3)]
            chord(header, note.s().set(task_id="body")).delay().get(timeout=60)

    process = os.fork()
    if not process:
        try:
            body()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.parametrize("instant", INSTANTS)
def test_the_next_process_ends_the_chords_that_are_ready(tmp_path, instant):
    """What the dead one had stored is there, and no task runs twice."""
    url, ledger, (*_, ready) = f"db+sqlite:///{tmp_path}/results.db", tmp_path / "ledger", INSTANTS[instant]
    assert run_and_die(url, ledger, instant) == -signal.SIGKILL
    ran = ledger.read_text().splitlines()
    app, _ = made("memory://next", url, ledger)
    with app, start_worker(app, perform_ping_check=False):
        stored = [app.AsyncResult(f"member-{number}") for number in range(3)]
        assert [one.result for one in stored if one.state == "SUCCESS"] == list(map(int, ran))
        if ready:
            assert app.AsyncResult("body").get(timeout=60) == [0, 1, 2]
            ran.append("[0, 1, 2]")
        eventually(lambda: app.driver.settler.stale_ready_chords(0) == [], 60)
        assert app.AsyncResult("body").state == ("SUCCESS" if ready else "PENDING")
    assert ledger.read_text().splitlines() == ran
