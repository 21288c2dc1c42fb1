"""RabbitMQ: the codec of messages on the wire. No URL opens this driver yet."""
