"""Celery's signals, by Celery's names and arguments: ``task_success.connect(receiver)``.

A signal is sent at events of telemetry; while it has no receiver it costs nothing. An exception of a receiver is logged
and has no other effect.
"""

from canvas.signals import translations as make
from canvas.signals.signal import Signal as Signal

before_task_publish = Signal("before_task_publish", "message.publishing", make.publishing)
after_task_publish = Signal("after_task_publish", "message.published", make.published)
task_received = Signal("task_received", "task.received", make.received)
task_prerun = Signal("task_prerun", "task.started eager.started", make.started)
task_postrun = Signal("task_postrun", "task.over eager.over", make.ended)
task_success = Signal("task_success", "task.finished eager.finished", make.succeeded)
task_failure = Signal("task_failure", "task.finished eager.finished", make.failed)
task_retry = Signal("task_retry", "task.finished eager.finished", make.retried)
task_revoked = Signal("task_revoked", "task.finished", make.revoked)
task_rejected = Signal("task_rejected", "task.finished", make.rejected)
task_unknown = Signal("task_unknown", "task.unregistered", make.unknown)
task_internal_error = Signal("task_internal_error", "worker.internal_error", make.internal_error)
import_modules = Signal("import_modules", "app.importing", make.sender_of("app"))
celeryd_init = Signal("celeryd_init", "worker.configuring", make.configuring)
celeryd_after_setup = Signal("celeryd_after_setup", "worker.preparing", make.preparing)
worker_init = Signal("worker_init", "worker.init", make.of_worker)
worker_ready = Signal("worker_ready", "worker.ready", make.of_worker)
worker_before_create_process = Signal("worker_before_create_process", "worker.forking", make.plain)
heartbeat_sent = Signal("heartbeat_sent", "heartbeat.sent", make.plain)
worker_process_init = Signal("worker_process_init", "worker.process_init", make.plain)
worker_process_shutdown = Signal("worker_process_shutdown", "worker.process_shutdown", make.plain)
worker_shutting_down = Signal("worker_shutting_down", "worker.stopping", make.stopping)
worker_shutdown = Signal("worker_shutdown", "worker.shutdown", make.of_worker)
setup_logging = Signal("setup_logging", "logging.setup", make.plain)
after_setup_logger = Signal("after_setup_logger", "logging.ready", make.plain)
after_setup_task_logger = Signal("after_setup_task_logger", "logging.tasks_ready", make.plain)
beat_init = Signal("beat_init", "beat.starting", make.sender_of("service"))
beat_embedded_init = Signal("beat_embedded_init", "beat.embedded", make.sender_of("service"))

# canvas never sends these. They exist so that code that connects to them can be loaded.
eventlet_pool_started = Signal("eventlet_pool_started")
eventlet_pool_preshutdown = Signal("eventlet_pool_preshutdown")
eventlet_pool_postshutdown = Signal("eventlet_pool_postshutdown")
eventlet_pool_apply = Signal("eventlet_pool_apply")
user_preload_options = Signal("user_preload_options")
