"""The frames of AMQP 0-9-1, without any I/O."""
