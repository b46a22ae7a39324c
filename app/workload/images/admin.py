from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from app.workload.images.models import Image

if TYPE_CHECKING:
    ImageModelAdmin = admin.ModelAdmin[Image]  # generic for mypy only
else:
    ImageModelAdmin = admin.ModelAdmin


@admin.register(Image)
class ImageAdmin(ImageModelAdmin):
    """Shows rows and changes none: a row that is deleted here would leave its files behind."""

    list_display = ("id", "owner", "name", "state", "kind", "width", "height", "byte_count", "created_at")
    list_filter = ("state", "kind")
    list_select_related = ("owner",)
    search_fields = ("id__exact", "name", "owner__username")
    date_hierarchy = "created_at"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Image | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Image | None = None) -> bool:
        return False
