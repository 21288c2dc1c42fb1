"""``rpc://``: results as messages to the queues of the processes that sent the tasks, as far as brokers do it alike."""
