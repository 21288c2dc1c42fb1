"""Orders, and what has become of them."""

from django.db import models


class Order(models.Model):
    """An order of one item."""

    item = models.CharField(max_length=100)
    reserved = models.BooleanField(default=False)
    charged = models.BooleanField(default=False)
    confirmed = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.item} ({self.pk})"
