"""Names of Celery's helpers."""

from canvas.celery_names.names.places import UTILS, Members, of

_LEVELS = f"{UTILS}.logs"
_WRITING = f"{UTILS}.serialization"

HELPERS: dict[str, Members] = {
    "celery.utils": {
        **of(f"{UTILS}.nodenames", "nodename nodesplit worker_direct"),
        **of(f"{UTILS}.imports", "gen_task_name import_from_cwd instantiate"),
        **of(f"{UTILS}.functional", "chunks noop"),
        **of(f"{UTILS}.cached", "memoize"),
        **of(_LEVELS, "LOG_LEVELS"),
        "cached_property": f"{UTILS}.objects:cached_property",
        "gen_unique_id": "canvas:uuid",
        "get_cls_by_name": f"{UTILS}.imports:symbol_by_name",
        "get_full_cls_name": f"{UTILS}.imports:qualname",
        "uuid": "canvas:uuid",
    },
    "celery.utils.abstract": of(f"{UTILS}.objects", "CallableSignature CallableTask"),
    "celery.utils.collections": of(
        f"{UTILS}.collections",
        "AttributeDict AttributeDictMixin ChainMap DictAttribute LimitedSet OrderedDict force_mapping lpmerge",
    ),
    "celery.utils.annotations": of(
        f"{UTILS}.code.annotations", "annotation_is_class annotation_issubclass get_optional_arg is_none_type"
    ),
    "celery.utils.debug": of(
        f"{UTILS}.code.debug", "blockdetection cry hfloat humanbytes mem_rss memdump ps sample sample_mem"
    ),
    "celery.utils.deprecated": of(f"{UTILS}.code.deprecated", "Callable Property warn"),
    "celery.utils.graph": of(f"{UTILS}.code.graph", "CycleError DOT DependencyGraph GraphFormatter"),
    "celery.utils.sysinfo": of(
        f"{UTILS}.code.debug", "AUTO_CONCURRENCY available_cpu_count df is_auto_concurrency load_average"
    ),
    "celery.utils.dispatch": of(f"{UTILS}.dispatch", "Signal"),
    "celery.utils.dispatch.signal": of(f"{UTILS}.dispatch", "Signal"),
    "celery.utils.functional": of("canvas.remote.lru", "LRUCache")
    | of(f"{UTILS}.cached", "memoize regen")
    | of(
        f"{UTILS}.functional",
        "arity_greater chunks dictfilter evaluate_promises first firstmethod fun_accepts_kwargs fun_takes_argument "
        "head_from_fun is_list is_numeric_value lazy lookahead mattrgetter maybe maybe_evaluate maybe_list "
        "mlazy noop padlist pass1 seq_concat_item seq_concat_seq uniq",
    ),
    "celery.utils.imports": of(
        f"{UTILS}.imports",
        "NotAPackage cwd_in_path find_module gen_task_name import_from_cwd instantiate load_extension_class_names "
        "load_extension_classes module_file qualname reload_from_cwd symbol_by_name",
    ),
    "celery.utils.iso8601": {"parse_iso8601": f"{UTILS}.times:maybe_iso8601"},
    "celery.utils.log": {
        **of("canvas.log", "ColorFormatter get_task_logger"),
        **of(_LEVELS, "LOG_LEVELS base_logger get_logger get_multiprocessing_logger in_sighandler mlevel"),
        **of(_LEVELS, "LoggingProxy logger reset_multiprocessing_logger set_in_sighandler task_logger"),
        **of(_LEVELS, "worker_logger"),
    },
    "celery.utils.nodenames": of(
        f"{UTILS}.nodenames",
        "anon_nodename default_nodename gethostname host_format node_format nodename nodesplit worker_direct",
    ),
    "celery.utils.objects": of(f"{UTILS}.objects", "Bunch FallbackContext getitem_property mro_lookup"),
    "celery.utils.saferepr": of(_WRITING, "saferepr"),
    "celery.utils.serialization": of(
        _WRITING,
        "UnpickleableExceptionWrapper b64decode b64encode create_exception_cls ensure_serializable "
        "find_pickleable_exception get_pickleable_etype get_pickleable_exception get_pickled_exception itermro jsonify "
        "raise_with_context strtobool subclass_exception",
    ),
    "celery.utils.term": of(f"{UTILS}.text", "colored"),
    "celery.utils.text": of(
        f"{UTILS}.text",
        "abbr abbrtask dedent dedent_initial ensure_newlines ensure_sep fill_paragraphs indent join pluralize pretty "
        "remove_repeating remove_repeating_from_task simple_format str_to_list truncate",
    ),
    "celery.utils.threads": of(
        f"{UTILS}.threads", "Local LocalStack bgThread default_socket_timeout get_ident release_local"
    ),
    "celery.utils.time": {
        **of(f"{UTILS}.times", "adjust_timestamp delta_resolution get_exponential_backoff_interval humanize_seconds"),
        **of(f"{UTILS}.times", "localize make_aware maybe_iso8601 maybe_timedelta rate remaining timezone to_utc"),
        **of(f"{UTILS}.times", "add_seconds_to_datetime subtract_datetimes utcoffset weekday"),
        **of("canvas.config.zones", "LocalTimezone"),
        **of("canvas.schedules.base_schedule", "is_naive maybe_make_aware"),
        **of("canvas.schedules.crontab", "ffwd"),
    },
}
"""Modules that hold objects of canvas, and their names."""
