import os

from django.db import connection

from .models import Order

if os.environ["APP_LIBRARY"] == "celery":
    from celery import shared_task
else:
    from canvas import shared_task


@shared_task
def bake(name):
    """Whether the connection was open before, and how many orders there are then."""
    was_open = connection.connection is not None
    Order.objects.create(name=name)
    return was_open, Order.objects.count()


@shared_task
def price(name, pieces=1):
    """Fails without a name."""
    return {"name": name, "price": 3 * pieces} if name else 1 / 0


@shared_task
def total(prices):
    return sum(one["price"] for one in prices)


if os.environ["APP_LIBRARY"] == "canvas":

    @shared_task
    async def abake(name):
        await Order.objects.acreate(name=name)
        return await Order.objects.acount()
