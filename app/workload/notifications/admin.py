from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from app.workload.notifications.models import Notification

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]  # generic for mypy only
else:
    AnyAdmin = admin.ModelAdmin


@admin.register(Notification)
class NotificationAdmin(AnyAdmin):
    """Shows what people were told and deletes it; events make it, and its owner reads it."""

    list_display = ("title", "user", "kind", "mailing", "created_at", "read_at")
    list_filter = ("kind", "mailing", ("read_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("event", "user__username")
    date_hierarchy = "created_at"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
