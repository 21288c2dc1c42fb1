"""``rpc://`` results on Redis: lists of kombu's envelopes, one for each process that sends tasks."""
