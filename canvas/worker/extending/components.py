"""The names of Celery's own bootsteps. Steps of users may require them: in canvas these parts start first."""


class Component:
    """A part of Celery's worker or consumer, which canvas has in another form."""


class Timer(Component):
    """Calls functions later: the worker's ``timer``."""


class Hub(Component):
    """Celery's event loop."""


class Pool(Component):
    """Where tasks run."""


class Beat(Component):
    """Beat in the worker's process (``-B``)."""


class StateDB(Component):
    """The file of revoked tasks. In canvas revocations are kept in the broker."""


class Consumer(Component):
    """The part that takes messages."""


class Connection(Component):
    """The connection to the broker."""


class Events(Component):
    """The events of the worker."""


class Mingle(Component):
    """The exchange of revocations at start."""


class Gossip(Component):
    """The exchange of news between workers."""


class Heart(Component):
    """The heartbeat."""


class Control(Component):
    """Remote control."""


class Tasks(Component):
    """The consumer of tasks."""


class Agent(Component):
    """Celery's agent, which is another package."""


class Evloop(Component):
    """The loop that takes messages."""


class DelayedDelivery(Component):
    """Messages with an eta on RabbitMQ's quorum queues."""


class WorkerComponent(Component):
    """The part that changes the number of processes."""
