"""Names of kombu and billiard, where they are not installed."""

from canvas.celery_names.names.places import PARTS, UTILS, Members, of

_OWN = "canvas.celery_names.kombu"
_QUEUES = f"{PARTS}.queues"
_FUNCTIONS = f"{UTILS}.functional"
_MANY = "multiprocessing"
_TEXTS = of(
    f"{_OWN}.texts",
    "bytes_to_str default_encode default_encoding default_encoding_file ensure_bytes from_utf8 safe_str str_to_bytes",
) | of("canvas.text", "safe_repr")
_LIMITS = of("canvas.errors", "SoftTimeLimitExceeded TimeLimitExceeded TimeoutError WorkerLostError")
_MODES = {"PERSISTENT_DELIVERY_MODE": f"{_QUEUES}:PERSISTENT", "TRANSIENT_DELIVERY_MODE": f"{_QUEUES}:TRANSIENT"}
_NEEDS_KOMBU = "has connections of its own. For kombu's connections, producers and consumers install kombu"

KOMBUS: dict[str, Members] = {
    "kombu": {
        **of(_QUEUES, "Exchange Queue binding"), **of(f"{_OWN}.calls", "VERSION __version__"), "uuid": "canvas:uuid",
    },
    "kombu.common": of(_QUEUES, "Broadcast") | {"uuid": "canvas:uuid"},
    "kombu.entity": of(_QUEUES, "Exchange Queue binding") | _MODES,
    "kombu.exceptions": {
        **of("canvas.errors", "ContentDisallowed DecodeError EncodeError OperationalError TimeoutError"),
        **of(
            f"{_OWN}.exceptions",
            "BatchPublishError ChannelError ChannelLimitExceeded ConnectionError ConnectionLimitExceeded HttpError "
            "InconsistencyError LimitExceeded MessageStateError NotBoundError ResourceError SerializerNotInstalled "
            "VersionMismatch",
        ),
        "KombuError": "canvas.errors:CanvasError", "SerializationError": "canvas.errors:WireError",
    },
    "kombu.log": of(f"{_OWN}.calls", "get_logger") | of(f"{UTILS}.logs", "LOG_LEVELS"),
    "kombu.serialization": {
        **of("canvas.wire.codecs", "register unregister"), **of(f"{_OWN}.texts", "bytes_to_str str_to_bytes"),
        **of(f"{_OWN}.serializers", "dumps loads pickle_loads pickle_protocol prepare_accept_content registry"),
        **of("canvas.errors", "ContentDisallowed DecodeError EncodeError"),
        "enable_insecure_serializers": f"{_OWN}.serializers:allow",
        "disable_insecure_serializers": f"{_OWN}.serializers:allow",
    },
    "kombu.utils": {
        **of(f"{_OWN}.calls", "fxrange fxrangemax reprcall reprkwargs retry_over_time"),
        **of(_FUNCTIONS, "maybe_list"), **of(f"{UTILS}.imports", "symbol_by_name"),
        "cached_property": f"{UTILS}.objects:cached_property", "uuid": "canvas:uuid",
    },
    "kombu.utils.encoding": _TEXTS,
    "kombu.utils.functional": {
        **of(_FUNCTIONS, "dictfilter is_list lazy maybe_evaluate maybe_list"), **of(f"{UTILS}.cached", "memoize"),
        **of(f"{_OWN}.calls", "fxrange fxrangemax reprcall reprkwargs retry_over_time"),
        "LRUCache": "canvas.remote.lru:LRUCache",
    },
    "kombu.utils.imports": of(f"{UTILS}.imports", "symbol_by_name"),
    "kombu.utils.json": {
        **of(f"{_OWN}.serializers", "JSONEncoder _decoders _encoders register_type"),
        "dumps": f"{_OWN}.serializers:json_dumps", "loads": f"{_OWN}.serializers:json_loads",
    },
    "kombu.utils.objects": {"cached_property": f"{UTILS}.objects:cached_property"},
    "kombu.utils.url": {
        **of(_QUEUES, "safequote"), "maybe_sanitize_url": "canvas.masking:masked_url",
        "sanitize_url": "canvas.masking:masked_url",
    },
    "kombu.utils.uuid": {"uuid": "canvas:uuid"},
}  # fmt: skip
BILLIARDS: dict[str, Members] = {
    "billiard": of(_MANY, "Event Lock Manager Pipe Process Queue RLock active_children cpu_count current_process")
    | _LIMITS,
    "billiard.einfo": of("canvas.model.outcome", "ExceptionInfo ExceptionWithTraceback"),
    "billiard.exceptions": _LIMITS,
    "billiard.pool": of("multiprocessing.pool", "Pool ThreadPool"),
    "billiard.process": of(_MANY, "Process active_children current_process"),
    "billiard.util": of("multiprocessing.util", "Finalize get_logger register_after_fork"),
}
KOMBUS_WITHOUT = {
    "kombu": "BrokerConnection Connection Consumer Producer eventloop",
    "kombu.asynchronous": "Hub get_event_loop set_event_loop",
    "kombu.common": "collect_replies drain_consumer eventloop itermessages maybe_declare send_reply",
    "kombu.compression": "compress decompress encoders register",
    "kombu.connection": "BrokerConnection ChannelPool Connection ConnectionPool",
    "kombu.message": "Message",
    "kombu.messaging": "Consumer Producer",
    "kombu.mixins": "ConsumerMixin ConsumerProducerMixin",
    "kombu.pools": (
        "Connections PoolGroup ProducerPool Producers connections get_limit producers register_group reset set_limit"
    ),
    "kombu.simple": "SimpleBuffer SimpleQueue",
    "kombu.transport": "get_transport_cls resolve_transport",
    "kombu.transport.base": "Message Transport",
    "kombu.transport.pyamqp": "Channel Connection Transport",
    "kombu.transport.redis": "Channel QoS Transport",
    "kombu.transport.virtual": "Channel Message Transport",
    "kombu.utils.url": "as_url parse_ssl_cert_reqs parse_url url_to_parts",
}
"""By module, the names that have stand-ins."""
KOMBUS_WORDS = dict.fromkeys(("kombu",), _NEEDS_KOMBU)
