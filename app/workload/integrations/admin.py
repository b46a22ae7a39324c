from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from app.workload.integrations.models import PartnerCall, PartnerUser, SyncCursor

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]  # generic for mypy only
else:
    AnyAdmin = admin.ModelAdmin


class ReadOnlyAdmin(AnyAdmin):
    """Shows rows and changes none: they say what happened at the partner."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(PartnerCall)
class PartnerCallAdmin(ReadOnlyAdmin):
    list_display = ("id", "endpoint", "owner", "state", "status", "attempts", "postponed", "created_at", "finished_at")
    list_filter = ("state", "endpoint")
    list_select_related = ("owner",)
    search_fields = ("id__exact",)
    date_hierarchy = "created_at"
    show_full_result_count = False


@admin.register(PartnerUser)
class PartnerUserAdmin(ReadOnlyAdmin):
    list_display = ("partner_id", "name", "email", "version", "synced_at")
    search_fields = ("partner_id", "name", "email")
    show_full_result_count = False


@admin.register(SyncCursor)
class SyncCursorAdmin(ReadOnlyAdmin):
    list_display = ("feed", "cursor", "succeeded_at")
