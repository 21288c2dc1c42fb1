"""Orders are placed here."""

from functools import partial

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from orders.models import Order
from orders.tasks import fulfil


@csrf_exempt
@require_POST
@transaction.atomic
def place(request: HttpRequest) -> JsonResponse:
    """Place an order. Its workflow starts once the order is committed: a worker then finds it in the database."""
    order = Order.objects.create(item=request.POST["item"])
    transaction.on_commit(partial(fulfil, order.pk))
    return JsonResponse({"id": order.pk}, status=201)
