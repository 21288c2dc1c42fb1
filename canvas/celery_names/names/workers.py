"""Names by which programs extend workers: bootsteps, requests, control commands."""

from canvas.celery_names.names.places import PARTS, Members, of

_STEPS = "canvas.worker.extending"
_COMPONENTS = f"{_STEPS}.components"
_OF_CONSUMER = {
    "agent": "Agent", "connection": "Connection", "consumer": "Consumer Evloop", "control": "Control",
    "delayed_delivery": "DelayedDelivery", "events": "Events", "gossip": "Gossip", "heart": "Heart",
    "mingle": "Mingle", "tasks": "Tasks",
}  # fmt: skip

WORKERS: dict[str, Members] = {
    "celery.bootsteps": of(f"{_STEPS}.bootsteps", "CLOSE ConsumerStep RUN StartStopStep Step TERMINATE"),
    "celery.utils.timer2": of(f"{_STEPS}.timer", "Entry Timer to_timestamp"),
    "celery.worker": {"WorkController": f"{PARTS}.programs:Worker"},
    "celery.worker.autoscale": of(_COMPONENTS, "WorkerComponent"),
    "celery.worker.components": of(_COMPONENTS, "Beat Consumer Hub Pool StateDB Timer"),
    "celery.worker.consumer": of(_COMPONENTS, "Agent Connection Consumer Control Events Gossip Heart Mingle Tasks"),
    **{f"celery.worker.consumer.{module}": of(_COMPONENTS, names) for module, names in _OF_CONSUMER.items()},
    "celery.worker.control": of("canvas.worker.control.user_commands", "Panel control_command inspect_command"),
    "celery.worker.request": of(f"{_STEPS}.request", "Request"),
    "celery.worker.strategy": of("canvas.celery_names.messages.protocols", "hybrid_to_proto2 proto1_to_proto2"),
    "celery.worker.worker": {"WorkController": f"{PARTS}.programs:Worker"},
}
"""Modules that hold objects of canvas, and their names."""
