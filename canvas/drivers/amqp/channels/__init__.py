"""Connections and channels: opened by py-amqp, and used by frames that are written here."""
