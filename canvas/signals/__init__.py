"""Celery's signals, by Celery's names and arguments: ``task_success.connect(receiver)``.

A signal is sent at events of telemetry; while it has no receiver it costs nothing. An exception of a receiver is logged
and has no other effect.
"""

from canvas.signals import translations as make
from canvas.signals.signal import PublishingSignal
from canvas.signals.signal import Signal as Signal

before_task_publish = PublishingSignal("before_task_publish", "message.publishing", make.publishing)
"""A message is about to be sent. Receivers may change ``headers``. The sender is the task's name."""
after_task_publish = Signal("after_task_publish", "message.published", make.published)
"""A message was sent. The sender is the task's name."""
task_received = Signal("task_received", "task.received", make.received)
"""A worker has taken a message. The sender is the worker's name."""
task_prerun = Signal("task_prerun", "task.started eager.started", make.started)
"""A task is about to run. The sender is the task."""
task_postrun = Signal("task_postrun", "task.over eager.over", make.ended)
"""A task has run; sent after all other signals of its end. The sender is the task."""
task_success = Signal("task_success", "task.finished eager.finished", make.succeeded)
"""A task has succeeded; ``runtime`` is in seconds. The sender is the task."""
task_failure = Signal("task_failure", "task.finished eager.finished task.rejected", make.failed)
"""A task has failed, or, after ``task_postrun``, has rejected its message for good in a worker. The sender is the
task."""
task_retry = Signal("task_retry", "task.finished eager.finished", make.retried)
"""A task is going to be retried. The sender is the task."""
task_revoked = Signal("task_revoked", "task.finished", make.revoked)
"""A task was revoked, or has expired. The sender is the task."""
task_rejected = Signal("task_rejected", "message.refused", make.rejected)
"""A worker has taken a message that it cannot read as a task's. The sender is the worker's name."""
task_unknown = Signal("task_unknown", "task.unregistered", make.unknown)
"""A message names a task that is not registered. The sender is the queue's name."""
task_internal_error = Signal("task_internal_error", "worker.internal_error", make.internal_error)
"""An error in the worker itself."""
import_modules = Signal("import_modules", "app.importing", make.sender_of("app"))
"""The app's modules are about to be imported. The sender is the app."""
celeryd_init = Signal("celeryd_init", "worker.configuring", make.configuring)
"""A worker reads its configuration; receivers may change ``conf``. The sender is the worker's name."""
celeryd_after_setup = Signal("celeryd_after_setup", "worker.preparing", make.preparing)
"""A worker has set up its queues and its log. The sender is the worker's name."""
worker_init = Signal("worker_init", "worker.init", make.of_worker)
"""A worker is about to start. The sender is the worker."""
worker_ready = Signal("worker_ready", "worker.ready", make.of_worker)
"""A worker accepts tasks. The sender is the worker."""
worker_before_create_process = Signal("worker_before_create_process", "worker.forking", make.sender_of("pool"))
"""A prefork process is about to be forked. The sender is the pool."""
user_preload_options = Signal("user_preload_options", "command.starting", make.preloading)
"""A command starts, with the options that the app adds to all commands. The sender is the command."""
heartbeat_sent = Signal("heartbeat_sent", "heartbeat.sent", make.sender_of("heart"))
"""A worker has sent a heartbeat. The sender is the part that sends them, every ``interval`` seconds."""
worker_process_init = Signal("worker_process_init", "worker.process_init", make.sender_of("hostname"))
"""A process of a pool has started; receivers must end within ``worker_proc_alive_timeout``. The sender is the worker's
name."""
worker_process_shutdown = Signal("worker_process_shutdown", "worker.process_shutdown", make.process_ending)
"""A process of a pool is about to exit. The sender is the worker's name."""
worker_shutting_down = Signal("worker_shutting_down", "worker.stopping", make.stopping)
"""A worker begins to stop. The sender is the worker's name."""
worker_shutdown = Signal("worker_shutdown", "worker.shutdown", make.of_worker)
"""A worker has stopped. The sender is the worker."""
setup_logging = Signal("setup_logging", "logging.setup", make.plain)
"""Logging is about to be set up. With a receiver, canvas sets up no handlers.
Arguments: ``loglevel``, ``logfile``, ``format``, ``colorize``."""
after_setup_logger = Signal("after_setup_logger", "logging.ready", make.plain)
"""The worker's logger is set up: ``logger``, and ``loglevel``, ``logfile``, ``format``, ``colorize``."""
after_setup_task_logger = Signal("after_setup_task_logger", "logging.tasks_ready", make.plain)
"""The logger of tasks is set up; with the same arguments."""
beat_init = Signal("beat_init", "beat.starting", make.sender_of("service"))
"""Beat starts, by ``canvas beat`` or in a worker. The sender is the service."""
beat_embedded_init = Signal("beat_embedded_init", "beat.embedded", make.sender_of("service"))
"""Beat starts inside a worker (``-B``); sent after ``beat_init``. The sender is the service."""

# canvas never sends these. They exist so that code that connects to them can be loaded.
eventlet_pool_started = Signal("eventlet_pool_started")
eventlet_pool_preshutdown = Signal("eventlet_pool_preshutdown")
eventlet_pool_postshutdown = Signal("eventlet_pool_postshutdown")
eventlet_pool_apply = Signal("eventlet_pool_apply")
