"""Short programs for Celery, by name: each prints what canvas has to print, too. They run one after the other, in one
process, so each makes an app of its own."""

PROGRAMS = {
    "send_task with None": """
from celery.signals import before_task_publish
app = Celery("a", broker="memory://")
@app.task(expires=60, time_limit=30, soft_time_limit=20)
def add(): pass
@before_task_publish.connect
def sent(headers=None, **_): print(headers["expires"] is None, headers["timelimit"])
unset = {"expires": None, "time_limit": None, "soft_time_limit": None}
for options in ({}, unset):
    app.send_task(add.name, **options)
    add.apply_async(**options)
    add.s().set(**options).apply_async()
before_task_publish.disconnect(sent)
""",
    "connect_on_app_finalize": """
from celery._state import connect_on_app_finalize
names = []
early, late = Celery("early", set_as_current=False), Celery("late", set_as_current=False)
late.finalize()
@connect_on_app_finalize
def note(app): names.append(app.main)
third = Celery("third", set_as_current=False)
for app in (early, late, third):
    app.finalize()
print([name for name in names if name in ("early", "late", "third")])
""",
    "connections with options": """
app = Celery("a", broker="redis://:secret@there:1/2", broker_transport_options={"visibility_timeout": 5})
for options in ({}, {"hostname": "redis://here:3/4"}, {"transport_options": {"max_connections": 3}}, {"ssl": True},
                {"connect_timeout": 9, "password": "other"}):
    found = app.connection(**options)
    print(found.as_uri(include_password=True), found.transport_options, bool(found.ssl), found.connect_timeout)
given = app.connection_for_write()
closed = []
given.release = given.close = lambda: closed.append(1)
with app.connection_or_acquire(given) as used:
    print(used is given)
print(closed)
""",
    "proxies": """
from celery.local import PromiseProxy, Proxy
def join(*args, **kwargs): return [args, kwargs]
print(list(PromiseProxy(join, (1,), {"a": 2}, name="x")), list(PromiseProxy(join, args=(1,), kwargs={"b": 1})), list(Proxy(join, args=(3,))))
number, words = Proxy(lambda: 5), Proxy(dict, kwargs={"a": 1})
print(number + 1, number > 4, -number, int(number), divmod(number, 2), number ** 2, "%02d" % number, str(number), repr(number))
print(len(words), "a" in words, words["a"], list(words), words == {"a": 1}, bool(words), [1, 2, 3, 4, 5, 6][number])
print(isinstance(words, dict), hash(number), list(reversed(Proxy(lambda: [1, 2]))))
""",
    "colours of lines": """
import logging
from celery.app.log import TaskFormatter
from celery.utils.log import ColorFormatter
class Own(ColorFormatter):
    colors = {**ColorFormatter.colors, "INFO": ColorFormatter.COLORS["green"], "ERROR": None}
for kind in (ColorFormatter, TaskFormatter, Own):
    for level in (10, 20, 30, 40, 50):
        record = logging.LogRecord("n", level, "p", 1, "text", (), None)
        print(repr(kind("%(levelname)s %(message)s").format(record)))
print(sorted(ColorFormatter.COLORS), sorted(ColorFormatter.colors), str(ColorFormatter.COLORS["cyan"]("x")).encode())
""",
    "pid files": """
import os, subprocess, sys, tempfile
from celery.platforms import Pidfile
path = os.path.join(tempfile.mkdtemp(), "pid")
lock = Pidfile(path)
lock.write_pid()
print(lock.read_pid() == os.getpid(), lock.is_locked(), lock.remove_if_stale(), lock.is_locked())
for text in ("no number\\n", "0\\n", f"{os.getppid()}\\n", f"{subprocess.Popen([sys.executable, '-c', '']).wait() or 4194303}\\n"):
    with open(path, "w") as file:
        file.write(text)
    print(lock.remove_if_stale(), lock.is_locked())
lock.remove()
""",
    "loaders": """
from celery.loaders.base import BaseLoader
class Own(BaseLoader):
    builtin_modules = frozenset({"colorsys"})
    def on_worker_init(self): print("init")
app = Celery("a", loader=Own)
app.loader.init_worker()
app.loader.init_worker()
print(app.loader.worker_initialized, "colorsys" in sys.modules, app.loader.find_module("json") is not None)
""",
    "caches": """
from celery.utils.functional import LRUCache
found = LRUCache(2)
for number in range(3):
    found[number] = number * 2
print(list(found.iterkeys()), list(found.itervalues()), list(found.iteritems()))
""",
    "fixup": """
from celery.fixups.django import fixup
print(fixup(Celery("a"), env="NO_SUCH_VARIABLE"))
""",
    "beat with a scheduler": """
from celery.beat import Scheduler
class Own(Scheduler):
    def tick(self):
        print("tick", self.max_interval)
        raise SystemExit
app = Celery("a", broker="memory://", worker_redirect_stdouts=False)
app.Beat(scheduler=Own, max_interval=7, quiet=True, loglevel=40).run()
""",
    "priorities in before_task_publish": """
from celery.signals import before_task_publish
app = Celery("a", broker="memory://")
@app.task(priority=3)
def urgent(): pass
@before_task_publish.connect
def sent(properties=None, **_): print(properties.get("priority"), "priority" in properties)
app.send_task("a")
app.send_task("a", priority=4)
urgent.delay()
before_task_publish.disconnect(sent)
""",
    "destinations of remote control": """
app = Celery("a", broker="memory://")
control = app.control
print(control.revoke("1"), control.rate_limit("a", "1/s"), control.enable_events(), control.broadcast("shutdown"))
for destination in ("w@h", {"w@h"}, 1):
    try:
        control.broadcast("shutdown", destination=destination)
    except ValueError as exc:
        print(exc)
""",
    "states that a backend stores": """
app = Celery("a", broker="memory://", backend="cache+memory://")
backend = app.backend
print(backend.mark_as_done("1", 2), backend.mark_as_revoked("2"), backend.mark_as_failure("3", KeyError("k")))
try:
    1 / 0
except ZeroDivisionError:
    print(repr(backend.fail_from_current_stack("4").type))
""",
    "a task class as a periodic task": """
from celery import Task
class Periodic(Task):
    @classmethod
    def on_bound(cls, app):
        if cls.name:
            app.add_periodic_task(1.0, cls)
app = Celery("a", broker="memory://")
@app.task(base=Periodic, name="often")
def often(): pass
app.finalize()
print({name: (entry["task"], entry["schedule"]) for name, entry in app.conf.beat_schedule.items()})
""",
    "time zones": """
from celery.schedules import crontab
for options in ({}, {"timezone": "UTC"}, {"timezone": "Europe/Berlin"}):
    app = Celery("a", broker="memory://", **options)
    print(repr(app.timezone), repr(app.now().tzinfo), app.uses_utc_timezone(), crontab(app=app).tz.key)
""",
    "a state without its lock": """
from celery.events.state import State
state = State()
with state._mutex:
    for event in ({"type": "task-sent", "uuid": "1", "hostname": "c", "timestamp": 1, "local_received": 1, "clock": 1, "name": "add"},
                  {"type": "task-received", "uuid": "1", "hostname": "w", "timestamp": 2, "local_received": 2, "clock": 1},
                  {"type": "worker-online", "hostname": "w", "timestamp": 2, "local_received": 2}):
        (made, created), subject = state._event(event)
        print(type(made).__name__, created, subject, state.event_count)
task = state.tasks["1"]
print(task.state, task.name, list(state.workers), task.local_received, task.type, task.hostname, task.clock, task.timestamp)
""",
    "mro_lookup": """
from celery.utils.objects import mro_lookup
class A:
    x = 1
class B(A): pass
print(mro_lookup(B, "x", stop=None, monkey_patched=None).__name__)
""",
    "kinds of callables": """
from celery import chain, chord, group
from celery.utils.abstract import CallableSignature, CallableTask
app = Celery("a", broker="memory://", set_as_current=False)
@app.task
def add(a, b): pass
class Own:
    def delay(self): pass
    apply = apply_async = delay
things = (add, add.s(1), group(add.s(1)), chain(add.s(1), add.s(2)), chord([add.s(1)], add.s()), app, print, Own())
print([(isinstance(one, CallableTask), isinstance(one, CallableSignature)) for one in things])
print(issubclass(CallableSignature, CallableTask), issubclass(type("Sub", (CallableTask,), {}), CallableTask))
""",
    "the current task in another thread": """
import threading
from celery import _state, current_task
from celery._state import _task_stack, pop_current_task, push_current_task
app = Celery("a", broker="memory://", set_as_current=False)
def elsewhere(stack, requests, seen):
    for task in stack:
        for request in requests:
            task.request_stack.push(request)
        _task_stack.push(task)
    seen += [current_task.name, current_task.request.id, _task_stack.top is stack[-1]]
@app.task(bind=True)
def outer(self):
    copied = {name: threading.local.__getattribute__(_state._tls, name) for name in _state._tls.__dict__}
    seen = []
    about = (list(_task_stack.stack), self.request_stack.stack, seen)
    thread = threading.Thread(target=elsewhere, args=about)
    thread.start()
    thread.join()
    return seen
print(outer.apply(task_id="1").get(), _task_stack.top, len(_task_stack))
push_current_task(outer)
print(current_task.name, current_task.request.id, pop_current_task().name, _task_stack.pop(), bool(current_task))
""",
    "a backend's policy, and objects by their paths": """
app = Celery("a", broker="memory://", backend="redis://there", set_as_current=False)
kept = app.backend.retry_policy
app.backend.retry_policy = {"max_retries": 0}
print(kept, app.backend.retry_policy)
for path in ("os.path", "os.path.join", "os.path:join"):
    print(app.loader._smart_import(path).__name__)
try:
    app.loader._smart_import("nowhere.at.all")
except ImportError as exc:
    print(exc)
""",
    "loaders": """
import os, types
from celery.loaders.app import AppLoader
from celery.loaders.default import Loader
class Own(AppLoader):
    def read_configuration(self, env="X"):
        return {"task_default_queue": "read", "task_routes": {"a": "b"}}
sys.modules["own_settings"] = types.SimpleNamespace(task_default_queue="of the module")
sys.modules["own_loader"] = types.SimpleNamespace(Own=Own)
shown = lambda app: print(app.conf.task_default_queue, app.conf.task_routes, app.conf.broker_url)
shown(Celery(loader=Own, broker="memory://", set_as_current=False))
given = Celery(loader=Own, set_as_current=False)
given.config_from_object({"task_default_queue": "given"})
shown(given)
set_one = Celery(loader=Own, set_as_current=False)
set_one.conf.task_default_queue = "set"
shown(set_one)
os.environ["CELERY_LOADER"] = "own_loader:Own"
named = Celery(set_as_current=False)
shown(named)
os.environ.update(CELERY_LOADER="default", CELERY_CONFIG_MODULE="own_settings")
default = Celery(set_as_current=False)
shown(default)
print(type(named.loader) is Own, type(default.loader) is Loader, type(Celery(loader="app", set_as_current=False).loader) is AppLoader)
del os.environ["CELERY_LOADER"], os.environ["CELERY_CONFIG_MODULE"]
""",
    "apps and tasks for people": """
class Own(Celery): pass
app, unnamed = Own("a.b", set_as_current=False), Own(set_as_current=False)
@app.task
def add(): pass
for one, owner in ((app, app), (unnamed, unnamed), (add, app)):
    print(repr(one).replace(hex(id(owner)), "ID"), str(one) == repr(one))
""",
}
