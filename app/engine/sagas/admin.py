from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from app.engine.sagas import conductor
from app.engine.sagas.errors import SagaNotStuck
from app.engine.sagas.models import Act, Saga

if TYPE_CHECKING:  # generic for mypy only
    ActTabularInline = admin.TabularInline[Act, Saga]
    SagaModelAdmin = admin.ModelAdmin[Saga]
else:
    ActTabularInline = admin.TabularInline
    SagaModelAdmin = admin.ModelAdmin


class ActInline(ActTabularInline):
    model = Act
    fields = ("kind", "name", "task", "state", "attempts", "started_at", "finished_at", "due_at", "result", "error")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Saga)
class SagaAdmin(SagaModelAdmin):
    """Shows sagas, and resumes those that are stuck. Nobody edits them: they move by their acts."""

    list_display = ("id", "name", "subject", "state", "failed_step", "reason", "created_at", "finished_at")
    list_filter = ("state", "name")
    search_fields = ("id__exact", "subject__exact")
    date_hierarchy = "created_at"
    show_full_result_count = False
    inlines = (ActInline,)
    actions = ("resume",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Saga | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Saga | None = None) -> bool:
        return False

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sagas.change_saga")

    @admin.action(description="Try compensations again now", permissions=["resume"])
    def resume(self, request: HttpRequest, queryset: "QuerySet[Saga]") -> None:
        for saga in queryset:
            try:
                count = conductor.resume(saga.pk, by=request.user.get_username())
            except SagaNotStuck as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                self.message_user(request, f"{saga}: {count} compensations are tried again.", messages.SUCCESS)
