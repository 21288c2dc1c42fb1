"""The tasks of an order, and the workflow that runs them."""

from canvas import current_app, shared_task
from orders.models import Order


@shared_task
def reserve(order_id):
    """Put the item aside."""
    Order.objects.filter(pk=order_id).update(reserved=True)


@shared_task
def charge(order_id):
    """Take the money."""
    Order.objects.filter(pk=order_id).update(charged=True)


@shared_task
def confirm(order_id):
    """Write to the customer, once the item is put aside and paid for."""
    order = Order.objects.get(pk=order_id)
    order.confirmed = order.reserved and order.charged
    order.save(update_fields=["confirmed"])


def fulfil(order_id):
    """Start the workflow of an order: two tasks side by side, then the third."""
    flow = current_app.Workflow("fulfil")
    ready = [flow.add(reserve.si(order_id), name="reserve"), flow.add(charge.si(order_id), name="charge")]
    flow.add(confirm.si(order_id), name="confirm", after=ready)
    return flow.apply_async(labels={"order": str(order_id)})
