from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from app.workload.reports.models import Department, Report

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]  # generic for mypy only
else:
    AnyAdmin = admin.ModelAdmin


@admin.register(Department)
class DepartmentAdmin(AnyAdmin):
    """Names and activity may change; a code stands in reports, and a department with books stays."""

    list_display = ("code", "name", "is_active")
    list_filter = ("is_active",)
    search_fields = ("code", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Report)
class ReportAdmin(AnyAdmin):
    """Shows reports and changes none: they are made by services only."""

    list_display = ("id", "kind", "department", "first_day", "last_day", "state", "interruptions", "created_at", "finished_at")
    list_filter = ("state", "kind", "department")
    list_select_related = ("department",)
    search_fields = ("id__exact", "owner__username")
    date_hierarchy = "created_at"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
