from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from app.workload.payments.models import Balance, BalanceEntry, Payment, Posting, PostingLine, Refund

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]  # generic for mypy only
else:
    AnyAdmin = admin.ModelAdmin


class ReadOnlyAdmin(AnyAdmin):
    """Shows rows and changes none: money moves through services only."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = ("id", "owner", "money", "state", "attempts", "created_at", "finished_at")
    list_filter = ("state", "currency")
    list_select_related = ("owner",)
    search_fields = ("id__exact", "intent_id", "transaction_id", "customer_email")
    date_hierarchy = "created_at"
    show_full_result_count = False


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin):
    list_display = ("owner", "currency", "__str__")
    list_filter = ("currency",)
    list_select_related = ("owner",)


@admin.register(BalanceEntry)
class BalanceEntryAdmin(ReadOnlyAdmin):
    list_display = ("payment", "kind", "amount_minor", "created_at")
    list_select_related = ("payment",)


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ("payment_id", "state", "amount_minor", "attempts", "failure_reason", "created_at", "finished_at")
    list_filter = ("state",)
    search_fields = ("payment__id__exact", "gateway_refund_id")


class PostingLineInline(admin.TabularInline):  # type: ignore[type-arg] # generic for mypy only
    model = PostingLine
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Posting)
class PostingAdmin(ReadOnlyAdmin):
    list_display = ("payment_id", "kind", "currency", "created_at")
    list_filter = ("kind", "currency")
    search_fields = ("payment__id__exact",)
    inlines = (PostingLineInline,)
