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


if os.environ["APP_LIBRARY"] == "canvas":

    @shared_task
    async def abake(name):
        await Order.objects.acreate(name=name)
        return await Order.objects.acount()
