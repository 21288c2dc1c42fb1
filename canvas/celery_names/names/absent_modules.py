"""The modules of Celery whose work canvas does by other means, and their names, which can be imported."""

NAMES_OF = {
    "celery.app.annotations": "MapAnnotation prepare resolve_all",
    "celery.app.autoretry": "add_autoretry_behaviour",
    "celery.app.backends": "BACKEND_ALIASES by_name by_url",
    "celery.app.builtins": (
        "add_accumulate_task add_backend_cleanup_task add_chain_task add_chord_task add_chunk_task add_group_task "
        "add_map_task add_starmap_task add_unlock_chord_task"
    ),
    "celery.app.routes": "MapRoute Router expand_router_string prepare",
    "celery.apps.multi": (
        "Cluster MultiParser NamespacedOptionParser Node build_expander build_nodename celery_exe format_opt maybe_call"
    ),
    "celery.backends.arangodb": "ArangoDbBackend",
    "celery.backends.asynchronous": "AsyncBackendMixin BaseResultConsumer Drainer register_drainer",
    "celery.backends.azureblockblob": "AzureBlockBlobBackend",
    "celery.backends.cassandra": "CassandraBackend",
    "celery.backends.consul": "ConsulBackend",
    "celery.backends.cosmosdbsql": "CosmosDBSQLBackend",
    "celery.backends.couchbase": "CouchbaseBackend",
    "celery.backends.couchdb": "CouchBackend",
    "celery.backends.database.models": "ResultModelBase Task TaskExtended TaskSet",
    "celery.backends.database.session": "SessionManager",
    "celery.backends.dynamodb": "DynamoDBAttribute DynamoDBBackend",
    "celery.backends.elasticsearch": "ElasticsearchBackend",
    "celery.backends.gcs": "GCSBackend",
    "celery.backends.mongodb": "MongoBackend",
    "celery.backends.s3": "S3Backend",
    "celery.concurrency": "ALIASES get_available_pool_names get_implementation",
    "celery.concurrency.asynpool": "AsynPool ResultHandler Worker",
    "celery.concurrency.base": "BasePool apply_target",
    "celery.concurrency.eventlet": "TaskPool",
    "celery.concurrency.gevent": "TaskPool",
    "celery.concurrency.prefork": "TaskPool process_destructor process_initializer",
    "celery.concurrency.solo": "TaskPool",
    "celery.concurrency.thread": "TaskPool",
    "celery.contrib.testing.manager": "Manager ManagerMixin Sentinel",
    "celery.events.cursesmon": "CursesMonitor evtop",
    "celery.events.dumper": "Dumper evdump humanize_type",
    "celery.utils.quorum_queues": "detect_quorum_queues",
    "celery.utils.static": "get_file logo",
    "celery.worker.heartbeat": "Heart",
    "celery.worker.loops": "asynloop synloop",
    "celery.worker.pidbox": "Pidbox gPidbox",
}
"""By module of which canvas has none of the objects, its names. ``WITHOUT`` says what to use."""
