from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from app.engine.limits.models import Permit, UniqueJob

if TYPE_CHECKING:  # generic for mypy only
    PermitModelAdmin = admin.ModelAdmin[Permit]
    UniqueJobModelAdmin = admin.ModelAdmin[UniqueJob]
else:
    PermitModelAdmin = UniqueJobModelAdmin = admin.ModelAdmin


@admin.register(Permit)
class PermitAdmin(PermitModelAdmin):
    """Who is at work under which key. Deleting a row lets another run begin at once."""

    list_display = ("key", "task_id", "taken_at", "until")
    search_fields = ("key", "task_id")
    ordering = ("key", "until")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Permit | None = None) -> bool:
        return False


@admin.register(UniqueJob)
class UniqueJobAdmin(UniqueJobModelAdmin):
    """Which job of a key is queued or running. Deleting a row lets another one be enqueued at once."""

    list_display = ("key", "task_id", "run", "until")
    search_fields = ("key", "task_id")
    ordering = ("key",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: UniqueJob | None = None) -> bool:
        return False
