"""``app.events.Dispatcher`` and ``Receiver`` take Celery's parameters: each has its effect, or is refused by name."""

import celery
import pytest

from canvas import Canvas
from canvas.errors import BrokerError, ConfigurationError

NAMES = ("hostname", "uuid", "n", "percent", "type")


class Producer:
    """Takes what Celery's dispatcher publishes; raises while the broker is ``away``."""

    def __init__(self):
        self.sent, self.away = [], False

    def publish(self, event, routing_key, delivery_mode, **_):
        if self.away:
            raise OSError("away")
        self.sent.append((routing_key, shown(event), delivery_mode))


def shown(event):
    if isinstance(event, list):
        return [shown(one) for one in event]
    found = {name: event[name] for name in NAMES if name in event}
    return {**found, "utcoffset": event["utcoffset"], "blind": event["clock"] is None}


class Theirs:
    def __init__(self, **options):
        app = celery.Celery("theirs", broker="memory://", set_as_current=False)
        self.dispatcher = app.events.Dispatcher(app.connection(), hostname="h", **options)
        self.producer = self.dispatcher.producer = Producer()

    @property
    def sent(self):
        return self.producer.sent

    def lose(self, away):
        self.producer.away = away

    def enable(self):
        self.dispatcher.enable()
        self.dispatcher.producer = self.producer


class Ours:
    def __init__(self, **options):
        app = Canvas("ours", broker="memory://events", set_as_current=False)
        self.dispatcher = app.events.Dispatcher(hostname="h", **options)
        self.sent, self._source = [], self.dispatcher._source
        self._away, send = False, self._source.send
        mode = self._source._delivery_mode

        def noted(routing_key, event):
            if self._away:
                raise BrokerError("away")
            send(routing_key, event)
            self.sent.append((routing_key, shown(event), mode))

        self._source.send = noted
        self.enable = self.dispatcher.enable

    def lose(self, away):
        self._away = away


def with_groups(make):
    one = make(groups=["task"])
    one.dispatcher.send("task-progress", uuid="1", percent=5, utcoffset=lambda: 3)
    one.dispatcher.send("worker-x")
    one.dispatcher.send("task-blind", blind=True)
    return one.sent


def kept_groups(make):
    told = []
    one = make(buffer_group=["task"], buffer_limit=3, on_send_buffered=lambda: told.append(1))
    for n in range(4):
        one.dispatcher.send("task-x", n=n)
    one.dispatcher.send("worker-y")
    before = list(one.sent)
    one.dispatcher.flush(groups=False)
    between = list(one.sent)
    one.dispatcher.flush()
    return before, between, one.sent, told


def kept_while_away(make):
    one, other = make(), make()
    one.lose(True)
    one.dispatcher.send("task-a")
    one.dispatcher.send("task-b")
    one.lose(False)
    before = list(one.sent)
    other.dispatcher.extend_buffer(one.dispatcher)
    one.dispatcher.flush()
    other.dispatcher.flush(errors=False)
    left = list(other.sent)
    other.dispatcher.flush()
    return before, one.sent, left, other.sent


def raised_while_away(make):
    one = make(buffer_while_offline=False)
    one.lose(True)
    try:
        one.dispatcher.send("task-a")
    except (OSError, BrokerError):
        return "raised"


def closed_and_enabled(make):
    told = []
    one = make()
    one.dispatcher.on_enabled.add(lambda: told.append("on"))
    one.dispatcher.on_disabled.add(lambda: told.append("off"))
    one.dispatcher.disable()
    one.dispatcher.send("task-a")
    one.enable()
    one.dispatcher.send("task-b")
    one.dispatcher.close()
    one.dispatcher.send("task-c")
    return one.sent, told


def modes(make):
    one = make(delivery_mode=2)
    one.dispatcher.send("task-a")
    one.dispatcher.send("task-b", Event=lambda type, **fields: {**fields, "type": "other"})
    return one.sent


@pytest.mark.parametrize(
    "script", [with_groups, kept_groups, kept_while_away, raised_while_away, closed_and_enabled, modes]
)
def test_each_parameter_has_celerys_effect(script):
    theirs, ours = script(Theirs), script(Ours)
    assert without_offsets(ours) == without_offsets(theirs)


def without_offsets(found):
    """Celery's ``send`` gives ``utcoffset`` to no event but those that it keeps for a group."""
    if isinstance(found, dict):
        return {name: value for name, value in found.items() if name != "utcoffset"}
    return type(found)(map(without_offsets, found)) if isinstance(found, list | tuple) else found


def test_the_offset_is_the_one_given():
    one = Ours()
    one.dispatcher.send("task-a", utcoffset=lambda: 3)
    assert one.sent[0][1]["utcoffset"] == 3


def test_what_has_no_effect_is_refused_by_name():
    app = Canvas("refuses", broker="memory://events", set_as_current=False)
    with pytest.raises(ConfigurationError, match="serializer='pickle'"):
        app.events.Dispatcher(serializer="pickle")
    with pytest.raises(ConfigurationError, match=r"queue_ttl=9.*event_queue_ttl"):
        app.events.Receiver(None, queue_ttl=9)
    with pytest.raises(ConfigurationError, match="accept"):
        app.events.Receiver(None, accept=["pickle"])
    with pytest.raises(TypeError, match="bufer_limit"):
        app.events.Dispatcher(bufer_limit=3)
    with pytest.raises(TypeError, match="intervall"):
        app.events.Dispatcher().send("task-a", retry=True, retry_policy={"intervall": 1})
    app.events.Receiver(None, queue_ttl=app.conf.event_queue_ttl, accept=["json"])
