"""Models that the tasks of :mod:`tests.support.apps` take and return."""

from pydantic import BaseModel


class Item(BaseModel):
    name: str
    price: float


class Order(BaseModel):
    item: Item
    total: float
