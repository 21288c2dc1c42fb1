"""The mistakes that people make, and the last line that each of them gets. ``…`` stands for any text."""

import asyncio
import gc
import re
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from canvas import Workflow, chain, chord, group, signature
from canvas.cli.main import canvas as command
from canvas.config.sources import settings_of_environment
from canvas.schedules import crontab
from canvas.testing.worker import start_worker
from tests.support.redis_server import free_port
from tests.unit.mistakes import (
    WHERE,
    add,
    another,
    app,
    awaited,
    awaits,
    bad,
    blocking,
    cancelled,
    circle,
    foreign,
    ident,
    in_a_workflow,
    linked,
    listed,
    loop,
    mapped,
    more,
    named,
    node,
    part,
    sent_by,
    started,
    total,
    twice,
    waits,
    with_a_wrong_password,
    without_a_backend,
    without_an_arm,
    without_self,
    without_yaml,
)

REFUSED = {
    96: (lambda: sent_by(backend="rediss//x"), "results URL: no driver for scheme 'rediss//x'; …: write rediss://x"),
    97: (lambda: crontab(hour=25), "crontab: hour: expected numbers from 0 to 23; got 25"),
    98: (lambda: crontab(minute="a"), "crontab: minute: expected a number, or the name of a day or a month; got 'a'"),
    99: (lambda: Workflow(app), "Workflow: name: expected text; got <…>: write Workflow(name, app)"),
    1: (lambda: sent_by(broker="redi://x"), "…no driver for scheme 'redi'; …: did you mean redis://?"),
    2: (lambda: sent_by(broker="sqs://x"), f"…no driver for scheme 'sqs'; …: {WHERE}"),
    3: (lambda: sent_by(broker="localhost:6379"), "…: write redis://localhost:6379/0"),
    4: (lambda: sent_by(backend="mongodb://u:secret@h/x"), f"…no driver for scheme 'mongodb'; …: {WHERE}"),
    5: (lambda: sent_by(broker="redis://h/abc"), "redis URL: expected a database number after the host; got 'abc'"),
    6: (lambda: sent_by(broker=f"redis://localhost:{free_port()}/0"), "Redis at localhost:…: …Connection refused…"),
    9: (lambda: sent_by(broker="redis://nosuch.invalid/0"), "Redis at nosuch.invalid:6379: …"),
    10: (with_a_wrong_password, "Redis at 127.0.0.1:… refused: …username-password…"),
    17: (lambda: add.delay(object(), 1), "mapp.add[…]: mapp.add: args[0]: cannot be written as JSON: …; expected …"),
    18: (lambda: add.delay({"x": [1, {2}]}, 1), "…mapp.add: args[0]['x'][1]: cannot be written as JSON: builtins.set {2}; …"),
    20: (lambda: sent_by(task_message_max_bytes=50), "…more than task_message_max_bytes (50); send a reference instead of the data, or raise the setting"),
    21: (lambda: add.delay(1), "add() missing 1 required positional argument: 'b'"),
    22: (lambda: add.delay(1, 2, 3), "add() takes 2 positional arguments but 3 were given"),
    23: (lambda: add.delay(1, c=3), "add() got an unexpected keyword argument 'c'"),
    24: (lambda: add.apply_async(1, 2), "mapp.add: args must be a list or tuple; got int 1"),
    26: (lambda: chain(add(1, 2), add.s(3)), "a chain takes signatures; step 0 is 3; did you call the task instead of .s(...)?"),
    27: (lambda: group([add, add]).delay(), "a group takes signatures; member 0 is …; write add.s(...)"),
    28: (lambda: chord([add.s(1, 2)], total), "a chord's body is a signature; got …; write total.s(...)"),
    29: (lambda: add | total.s(), "| takes signatures; got …; write add.s(...)"),
    30: (lambda: chain(add.delay(1, 2), add.s(3)), "…; write .s(...) instead of .delay(...): what is sent already cannot …"),
    31: (lambda: add.delay(add.delay(1, 2), 3), "…args[0]: cannot be written as JSON: …; pass its value, result.get(), or compose both tasks: …"),
    33: (lambda: chord([add.s(1, 2)]).delay(), "a chord needs a body: chord(header, body); got …"),
    34: (lambda: chord([add.s(1, 2)])(total), "a chord's body is a signature; got …; write total.s(...)"),
    35: (lambda: add.apply_async((1, 2), link=total), "mapp.add: link takes signatures; got …; write total.s(...)"),
    36: (lambda: group(add.s(1, 2)).apply_async(link=total.s()), "Cannot add link to group: use a chord"),
    37: (loop, "cycle: … → celery.chain: a signature cannot contain itself"),
    38: (linked, "cycle: mapp.add.link[0] → mapp.add: a signature cannot contain itself"),
    39: (lambda: sent_by().get(timeout=1), "no result backend is configured: set result_backend, or Canvas(backend=…)"),
    40: (lambda: without_a_backend(lambda _, task: chord([task.s()], task.s())), "a chord needs a result backend to count its parts; set result_backend to …"),
    41: (lambda: without_a_backend(in_a_workflow), "a workflow needs a result backend to keep its run in: set result_backend to …"),
    42: (lambda: another(task_ack_late=True, strict_settings=True).conf, "unknown setting 'task_ack_late' from a keyword argument; did you mean task_acks_late?"),
    44: (lambda: setattr(app.conf, "worker_concurrency", "four"), "worker_concurrency: expected a whole number, 0 or more; got 'four' from an assignment"),
    47: (lambda: another(timezone="Europe/Berln").conf.timezone, "timezone: …; did you mean Europe/Berlin?"),
    50: (lambda: app.task(name="m.r", rate_limit="10/x")(lambda: 1).delay(), "m.r: rate limit: expected a number or text such as '10/s', '5/m', '100/h'; got '10/x'"),
    51: (lambda: app.task(name="m.u", unique_for=9, unique_key=["acount"])(lambda account: 1).delay(1), "m.u: unique_key: expected a list of argument names of account, or a function; got ['acount']"),
    52: (lambda: add.apply_async((1, 2), queue="hihg").get(timeout=0.05), "… is not ready after 0.05 s, its state is PENDING; … in its queue 'hihg': does a worker take from it (worker -Q hihg)?"),
    53: (lambda: listed("hihg"), "queue 'hihg' is not in task_queues (high, low), and task_create_missing_queues is off"),
    54: (lambda: listed(None), "queue 'celery', the task_default_queue, is not in task_queues (high, low), …: name a queue in the call or in task_routes, or set task_default_queue"),
    56: (circle, "cycle: add → ident → add"),
    57: (foreign, "ident: 'add' is a node of workflow 'w', not of 'v'"),
    58: (lambda: ident.delay(node()), "…<Node add> stands for the result of a node of workflow 'w'; only nodes of that workflow can take it, such as flow.add(task.s(handle))"),
    59: (lambda: node(add), "node: expected a signature, such as task.s(…); got …; write add.s(...)"),
    60: (lambda: bool(node()), "the result of <Node add> is not known yet: use flow.branch to choose by it"),
    61: (lambda: f"value {node()}", "the result of <Node add> is not known yet: pass the handle itself to a task …"),
    62: (lambda: node() == 3, "the result of <Node add> is not known yet: use flow.branch to choose by it, or pass it to a task; …"),
    63: (lambda: node().sum, "'Node' object has no attribute 'sum'; for a part of its result write add['sum']"),
    64: (part, "…the result of node 'total' has no 'summ'; it has 'rows'…"),
    65: (lambda: mapped(3), "each: expected a list to map over; got int 3"),
    66: (lambda: mapped("ab", literal=True), "each: over: expected a node of this workflow, or a list; got 'ab'"),
    68: (twice, "w: there is a node 'a' already; give this one another name"),
    69: (named, "…has no node 'rwos'; it has rows…"),
    70: (lambda: Workflow("w", app).apply_async(), "an empty workflow has nothing to run: add a node"),
    71: (lambda: node(add.s(1)), "w: add: …"),
    72: (lambda: started(timeuot=3), "workflow 'w' has no option 'timeuot' for its runs: did you mean timeout? …"),
    73: (lambda: started(target="celery"), "each: … Celery workers cannot map over a result: let a task use self.replace, or run it on canvas workers (target='canvas')"),
    75: (lambda: app.workflow("nope"), "there is no run 'nope': …(workflow_run_expires)"),
    81: (lambda: add.apply_async((1, 2), serializer="jsn"), "mapp.add: unknown serializer 'jsn': expected one of json, msgpack, yaml, pickle"),
    83: (without_yaml, "mapp.add: the yaml serializer needs PyYAML: pip install 'canvas-workflows[yaml]'"),
    84: (lambda: setattr(app.conf, "accept_content", ["jason"]), "accept_content: expected a list of json, …; got ['jason'] from an assignment"),
    85: (lambda: add.apply_async((1, 2), eta="tomorrow"), "mapp.add: eta: expected ISO 8601 text; got 'tomorrow'"),
    86: (lambda: add.apply_async((1, 2), countdown="5"), "mapp.add: countdown: expected seconds (int or float); got str '5'"),
    95: (without_self, "m.b: bind=True passes the task as the first argument, and <lambda>() takes none: write def <lambda>(self, ...), or leave out bind=True"),
    101: (lambda: signature(None), "signature() takes the name of a task, a task, a signature, or a dict …; got NoneType None"),
    102: (lambda: add.apply_async((1, 2), time_limit=-1), "mapp.add: time_limit: expected seconds, 0 or more; got int -1"),
    103: (lambda: add.apply_async((1, 2), compression="gzp"), "mapp.add: unknown compression 'gzp': expected one of …"),
    104: (lambda: app.runs(stat="FAILURE"), "app.runs() got an unexpected keyword argument 'stat'…"),
    105: (lambda: Workflow("w", app).loop(step=add.s(), begin=0), "Workflow.loop() got an unexpected keyword argument 'begin'…"),
    106: (lambda: crontab(minut=1), "crontab() got an unexpected keyword argument 'minut'…"),
    "95, an id": (lambda: app.AsyncResult("nope").get(timeout=0.05), "…nope is not ready after 0.05 s, its state is PENDING; nothing is stored of it: do its workers store results in this backend?"),
}  # fmt: skip
"""The mistakes that raise, by their number."""
IN_A_WORKER = {
    13: (lambda: app.send_task("mapp.ad", (1, 2)), "no task 'mapp.ad' is registered where it was to run: import its module there"),
    19: (bad.delay, "mapp.bad[…]: its result: cannot be written as JSON: …"),
    25: (lambda: chain(add.s(1, 2), add.s(1, 2)).delay(), "add() takes 2 positional arguments but 3 were given"),
    32: (lambda: more.delay(add.s(1, 2)), "unsupported operand type(s) for +: 'dict' and 'int'"),
    74: (cancelled, "run … of 'w' was cancelled; nodes that had not ended: sleep (…)"),
    76: (waits.delay, "Never call result.get() within a task, …: compose a chain or chord instead, …"),
    77: (awaits.delay, "Never call result.get() within a task, and never await a result there! …"),
    82: (lambda: add.apply_async((1, 2), serializer="pickle"), "…accept_content allows json; add 'pickle' to it if you trust every sender"),
    95: (lambda: app.send_task("__main__.add"), "no task '__main__.add' is registered where it was to run: move it from the script into a module"),
}  # fmt: skip
"""Those that a worker reports."""
WARNED = {
    107: (lambda: signature("mapp.add", arg=(1, 2)), "mapp.add: unknown option 'arg'; did you mean args?"),
    "107, by the task": (lambda: add.signature(arg=(1, 2)), "mapp.add: unknown option 'arg'; did you mean args?"),
    108: (lambda: add.apply_async((1, 2), priority=300), "mapp.add: priority: expected 0 to 255; got 300, which counts as the nearest one"),
    109: (lambda: app.task(name="m.l", time_limit=-1)(lambda: 1), "m.l: time_limit: expected seconds, 0 or more; got -1"),
    100: (lambda: sent_by(task_routes={"other.f": {"queu": "low"}}), "task_routes: other.f: unknown option 'queu'; did you mean queue?"),
    43: (lambda: another(task_ack_late=True).conf.task_acks_late, "unknown setting 'task_ack_late' from a keyword argument; did you mean task_acks_late? …"),
    48: (lambda: app.task(name="m.q", ack_late=True)(lambda: 1), "m.q: unknown task option 'ack_late'; did you mean acks_late?"),
    49: (lambda: add.apply_async((1, 2), cuntdown=5), "mapp.add: unknown option 'cuntdown'; did you mean countdown?"),
    79: (lambda: (add.adelay(1, 2), gc.collect()), "coroutine 'Task.adelay' was never awaited"),
    78: (lambda: asyncio.run(blocking()), "result.get() blocks the running event loop until the result is there: use `await result.aget()`"),
}  # fmt: skip
"""Those that are accepted, with a warning."""
ON_THE_COMMAND_LINE = {
    14: ("-A known call known.ad", "Warning: this app has no task 'known.ad'; did you mean known.add? The message was sent."),
    "14, without its module": ("-A known call add", "Warning: this app has no task 'add'; did you mean known.add? The message was sent."),
    "90, graph of a module": ("-A known graph known", "Error: known: expected module:attribute, such as known:flow"),
    "90, graph of a function": ("-A known graph known:compose", "Error: known:compose: …; assign what it returns to a name of the module, flow = compose(…), and draw that"),
    "90, graph of a task": ("-A known graph known:add", "Error: known:add: …; write add.s(...)"),
    89: ("-A nosuch status", "Error: -A nosuch: there is no module 'nosuch' in … or on the Python path"),
    90: ("-A os status", "Error: -A os: module os defines no Canvas app; name the module that does, …"),
    91: ("-A mapp.py status", "Error: -A mapp.py: expected a module's name, with or without :attribute; write -A mapp"),
    92: ("worker -A mapp", "Error: -A is a global option: put it before the command, as in: canvas -A proj worker"),
    93: ("beta", "Error: No such command 'beta'. Did you mean beat?"),
    "93, help": ("help", "Error: No such command 'help'. Did you mean --help?"),
    94: ("worker -P gevent", "Error: Invalid value for '-P' / '--pool': there is no gevent pool: use -P asyncio for async def tasks, …"),
}  # fmt: skip


ACCEPTED = {
    46: (lambda: settings_of_environment({"CELERY_BROKR_URL": "redis://h"}), {}),
    67: (without_an_arm, (None, ["SUCCESS", "SKIPPED", "SKIPPED"])),
    80: (lambda: asyncio.run(awaited()), 1),
    87: (lambda: add.apply_async((1, 2), countdown=-5, priority=100).get(timeout=30), 3),
}
"""Those that canvas takes as Celery does, or as its pages say, and their effect."""
HELD_ELSEWHERE = {
    7: ("worker/test_settings.py", "Trying again in"),
    8: ("unit/test_cli.py", "69"),
    11: ("worker/test_process_life.py", "Cannot use the broker"),
    12: ("worker/test_unreadable_messages.py", "unregistered task"),
    15: ("worker/test_unreadable_messages.py", "dead_letters("),
    16: ("unit/test_readable.py", '"dead-letters", "show"'),
    45: ("unit/test_mistakes.py", "test_a_variable_that_cannot_be_read_is_left_alone"),
    55: ("worker/test_terminal.py", "Queue 'hihg' is in no setting"),
    88: ("worker/test_terminal.py", "No tasks are registered"),
}
"""Those whose line the test of another file holds, and a text of that test."""
KNOWN = """
from canvas import Canvas
app = Canvas("known", broker="memory://known", backend="memory://known", set_as_current=False)
add = app.task(name="known.add")(max)
def compose(): pass
"""


def matches(expected, text):
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), text, re.DOTALL)


def said(exc):
    return str(exc).strip().splitlines()[-1] if str(exc).strip() else ""


@pytest.mark.parametrize("number", REFUSED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_mistake_that_is_refused(number):
    mistake, expected = REFUSED[number]
    with pytest.raises(Exception) as raised:
        mistake()
    assert matches(expected, said(raised.value)), said(raised.value)
    assert "secret" not in str(raised.value)


@pytest.fixture(scope="module")
def worker():
    with start_worker(app, pool="solo", perform_ping_check=False) as running:
        yield running


@pytest.mark.parametrize("number", IN_A_WORKER)
def test_a_mistake_that_a_worker_reports(number, worker):
    mistake, expected = IN_A_WORKER[number]
    with pytest.raises(Exception) as raised:
        mistake().get(timeout=30)
    first = str(raised.value).strip().splitlines()[0]
    assert matches(expected, first), first


@pytest.mark.parametrize("number", ACCEPTED)
def test_a_mistake_that_is_accepted(number, worker):
    mistake, effect = ACCEPTED[number]
    assert mistake() == effect


def test_each_mistake_is_held():
    tables = (REFUSED, IN_A_WORKER, WARNED, ON_THE_COMMAND_LINE, ACCEPTED, HELD_ELSEWHERE)
    assert {int(str(number).split(",")[0]) for table in tables for number in table} == set(range(1, 110))
    folder = Path(__file__).parent.parent
    assert [number for number, (file, text) in HELD_ELSEWHERE.items() if text not in (folder / file).read_text()] == []


@pytest.mark.parametrize("number", WARNED)
def test_a_mistake_that_is_warned_of(number):
    mistake, expected = WARNED[number]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            mistake()
        except TimeoutError:
            assert number == 78
    assert any(matches(expected, str(one.message)) for one in caught), [str(one.message) for one in caught]


@pytest.mark.parametrize("number", ON_THE_COMMAND_LINE)
def test_a_mistake_on_the_command_line(number, tmp_path, monkeypatch):
    (tmp_path / "mapp.py").write_text("")
    (tmp_path / "known.py").write_text(KNOWN)
    monkeypatch.chdir(tmp_path)
    words, expected = ON_THE_COMMAND_LINE[number]
    done = CliRunner().invoke(command, words.split(), prog_name="canvas")
    assert done.exit_code == (2 if expected.startswith("Error") else 0)
    assert matches(expected, " ".join(done.output[done.output.index(expected[:5]) :].split())), done.output


def test_a_module_that_a_setting_names_and_that_is_missing():
    for missing in (
        lambda: another(include=["nosuch_tasks"]).import_task_modules(),
        lambda: another().config_from_object("nosuch_settings", force=True),
    ):
        with pytest.raises(ModuleNotFoundError) as raised:
            missing()
        [note] = raised.value.__notes__
        assert repr(raised.value.name) in note and re.search(r"include|config_from_object\(\)", note)


def test_a_variable_that_cannot_be_read_is_left_alone():
    assert settings_of_environment({"CANVAS_TASK_ACKS_LATE": "maybe"}) == {}
