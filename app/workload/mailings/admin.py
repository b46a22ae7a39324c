from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from app.workload.mailings.delivery import decide
from app.workload.mailings.models import Campaign, Mail, Suppression

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]  # generic for mypy only
else:
    AnyAdmin = admin.ModelAdmin


class ReadOnlyAdmin(AnyAdmin):
    """Shows rows; services change them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in self.opts.fields]


@admin.register(Campaign)
class CampaignAdmin(ReadOnlyAdmin):
    list_display = ("name", "owner", "template_id", "state", "created_at", "finished_at")
    list_filter = ("state", "template_id")
    list_select_related = ("owner",)
    search_fields = ("id__exact", "name")


@admin.register(Mail)
class MailAdmin(ReadOnlyAdmin):
    """Shows what became of each mail, and takes a person's word about the uncertain ones."""

    list_display = ("id", "address", "campaign", "event", "state", "attempts", "reason", "settled_at")
    list_filter = ("state",)
    list_select_related = ("campaign",)
    search_fields = ("address", "event", "campaign__id__exact")
    actions = ("they_have_it", "they_have_it_not")
    show_full_result_count = False

    @admin.action(description="Uncertain mails: the recipient has it", permissions=["change"])
    def they_have_it(self, request: HttpRequest, queryset: "QuerySet[Mail]") -> None:
        self._decide(request, queryset, was_sent=True)

    @admin.action(description="Uncertain mails: the recipient has it not", permissions=["change"])
    def they_have_it_not(self, request: HttpRequest, queryset: "QuerySet[Mail]") -> None:
        self._decide(request, queryset, was_sent=False)

    def _decide(self, request: HttpRequest, queryset: "QuerySet[Mail]", *, was_sent: bool) -> None:
        decided = decide(list(queryset.values_list("pk", flat=True)), was_sent=was_sent)
        self.message_user(request, f"Noted of {decided} uncertain mail(s).", messages.SUCCESS)


@admin.register(Suppression)
class SuppressionAdmin(AnyAdmin):
    list_display = ("address", "reason", "created_at")
    list_filter = ("reason",)
    search_fields = ("address",)
    readonly_fields = ("created_at",)
