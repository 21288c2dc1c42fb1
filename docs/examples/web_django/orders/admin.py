"""The admin's pages of orders: their list, and the runs of their workflows."""

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from canvas import current_app
from orders.models import Order


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    """Orders, with a page of runs at ``/admin/orders/order/runs/``."""

    list_display = ("item", "reserved", "charged", "confirmed")

    def get_urls(self) -> list[URLPattern]:
        return [path("runs/", self.admin_site.admin_view(self.runs), name="orders_runs"), *super().get_urls()]

    def runs(self, request: HttpRequest) -> TemplateResponse:
        """The latest runs, or those of ``?order=ID``, or in ``?state=FAILURE``."""
        order, state = request.GET.get("order"), request.GET.get("state")
        found = current_app.runs(name="fulfil", label={"order": order} if order else None, state=state, limit=50)
        context = {
            **self.admin_site.each_context(request),
            "title": "Runs of workflows",
            "runs": [(run.labels.get("order"), run.status()) for run in found],
        }
        return TemplateResponse(request, "orders/runs.html", context)
