"""Exceptions of ``kombu.exceptions`` that canvas does not raise."""

from canvas.errors import CanvasError, WireError


class NotBoundError(CanvasError):
    """A queue or exchange has no channel."""


class MessageStateError(CanvasError):
    """A message was acked, requeued or rejected before."""


class LimitExceeded(CanvasError):
    """Too much of something."""


class ConnectionLimitExceeded(LimitExceeded):
    """Too many connections."""


class ChannelLimitExceeded(LimitExceeded):
    """Too many channels."""


class BatchPublishError(CanvasError):
    """Some messages of several were not sent."""


class VersionMismatch(CanvasError):
    """A library has another version than is needed."""


class SerializerNotInstalled(WireError):
    """A serializer is not there."""


class ConnectionError(CanvasError):
    """A connection of AMQP has ended."""


class ChannelError(CanvasError):
    """A channel of AMQP has ended."""


class ResourceError(ConnectionError):
    """A broker lacks resources."""


class InconsistencyError(ConnectionError):
    """A broker has lost a queue or an exchange."""


class HttpError(Exception):
    """A broker has answered an HTTP request with an error."""
