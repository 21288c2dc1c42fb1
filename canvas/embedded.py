"""A private Redis for demos, tests and laptops: ``from canvas.embedded import EmbeddedRedis``."""

from canvas.testing.embedded_redis import EmbeddedRedis, find_server

__all__ = ["EmbeddedRedis", "find_server"]
