"""Commands about messages: queues, dead letters, and moving messages between brokers."""
