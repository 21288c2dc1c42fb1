"""A shop: orders in a database, and workflows that fulfil them."""

from shop.tasks_app import app

__all__ = ["app"]
