from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from app.api.models import ApiToken

if TYPE_CHECKING:
    TokenAdmin = admin.ModelAdmin[ApiToken]  # generic for mypy only
else:
    TokenAdmin = admin.ModelAdmin


@admin.register(ApiToken)
class ApiTokenAdmin(TokenAdmin):
    """Shows tokens and revokes them. They are made by the command ``create_api_token``, which prints them."""

    list_display = ("name", "prefix", "owner", "created_at", "last_used_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix", "owner__username")
    list_select_related = ("owner",)
    actions = ("revoke",)
    exclude = ("digest",)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> list[str]:
        return ["name", "prefix", "owner", "created_at", "last_used_at", "revoked_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    @admin.action(description="Revoke the chosen tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        revoked = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"{revoked} token(s) revoked: their next request is refused.", messages.SUCCESS)
