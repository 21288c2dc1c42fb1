"""The names of Celery's that canvas has with a difference, and the difference."""

_TO_REQUIRE = "a name for `requires`; it is no bootstep"
_STORES = "records are its driver's; the methods by which Celery's inside stores, counts and waits are not there"
_STEPS = {
    "components": "Beat Consumer Hub Pool StateDB Timer", "consumer.agent": "Agent", "consumer.connection": "Connection",
    "consumer.consumer": "Evloop", "consumer.control": "Control", "consumer.delayed_delivery": "DelayedDelivery",
    "consumer.events": "Events", "consumer.gossip": "Gossip", "consumer.heart": "Heart", "consumer.mingle": "Mingle",
    "consumer.tasks": "Tasks", "consumer": "Agent Connection Control Events Gossip Heart Mingle Tasks",
    "autoscale": "WorkerComponent",
}  # fmt: skip
_CONSUMER = "a name to require; steps get a consumer with fewer attributes"
_WORKER = "`start`, `stop` and `terminate`; its blueprint and pool are not there"
_BACKENDS = {
    "base": "BaseBackend DisabledBackend KeyValueStoreBackend", "cache": "CacheBackend", "database": "DatabaseBackend",
    "filesystem": "FilesystemBackend", "redis": "RedisBackend SentinelBackend", "rpc": "RPCBackend",
}  # fmt: skip

DIFFERS = {
    "celery.Celery": "Django's fixup is built in; `fixups` has no other",
    "celery.app.Celery": "Django's fixup is built in; `fixups` has no other",
    "celery.app.base.Celery": "Django's fixup is built in; `fixups` has no other",
    "celery.bootsteps.ConsumerStep": "consumes on a thread with a connection of its own",
    "celery.worker.request.Request": "hooks only; it does not ack or run the message",
    "celery.worker.consumer.Consumer": _CONSUMER,
    "celery.worker.consumer.consumer.Consumer": _CONSUMER,
    "celery.worker.WorkController": _WORKER,
    "celery.worker.worker.WorkController": _WORKER,
    "celery.apps.worker.Worker": _WORKER,
    "celery.apps.beat.Beat": "`run`; its banner and handlers of signals are those of `canvas beat`",
    "celery.app.log.Logging": "sets up no logger of multiprocessing's",
    "celery.app.trace.build_tracer": "with `eager=True`; workers do not call it",
    "celery.app.amqp.AMQP": "queues, router; kombu's producers and consumers",
    "celery.app.amqp.Queues": "made of the settings",
    "celery.bin.base.CeleryCommand": "`click.Command`",
    "celery.utils.objects.FallbackContext": "`fallback` makes a context manager",
    "celery.platforms.set_process_title": "returns the title, and sets none",
    "celery.utils.timer2.Timer": "not a thread; it starts one with its first call",
    "celery.worker.control.Panel": "`register` and `data`; it is no mapping",
    **{f"celery.worker.{module}.{name}": _TO_REQUIRE for module, names in _STEPS.items() for name in names.split()},
    **{f"celery.backends.{module}.{name}": _STORES for module, names in _BACKENDS.items() for name in names.split()},
}
"""By name, how canvas' object differs."""
