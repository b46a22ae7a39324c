from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from app.workload.orders.models import DailySales, Order, OrderLine, Product, Shipment

if TYPE_CHECKING:  # generic for mypy only
    AnyAdmin = admin.ModelAdmin[Any]
    LineTabularInline = admin.TabularInline[OrderLine, Order]
else:
    AnyAdmin = admin.ModelAdmin
    LineTabularInline = admin.TabularInline


class ReadOnlyAdmin(AnyAdmin):
    """Shows rows and changes none: orders move by their sagas only."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Product)
class ProductAdmin(AnyAdmin):
    """The catalogue. The stock of a product that exists is not edited here: orders change it meanwhile, and the form would undo them."""

    list_display = ("sku", "name", "price", "stock", "is_sold")
    list_filter = ("is_sold", "currency")
    search_fields = ("sku", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: Product | None = None) -> tuple[str, ...]:
        return () if obj is None else ("sku", "currency", "stock")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LineInline(LineTabularInline):
    model = OrderLine
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ("id", "owner", "total", "state", "failure_reason", "created_at", "finished_at")
    list_filter = ("state", "currency")
    list_select_related = ("owner",)
    search_fields = ("id__exact", "customer_email")
    date_hierarchy = "created_at"
    show_full_result_count = False
    inlines = (LineInline,)


@admin.register(Shipment)
class ShipmentAdmin(ReadOnlyAdmin):
    list_display = ("order_id", "state", "requested_at", "recalled_at")
    list_filter = ("state",)


@admin.register(DailySales)
class DailySalesAdmin(ReadOnlyAdmin):
    list_display = ("day", "product", "pieces", "revenue_minor")
    list_select_related = ("product",)
    date_hierarchy = "day"
