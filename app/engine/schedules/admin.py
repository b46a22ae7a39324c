from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django_celery_beat import admin as celery_beat
from django_celery_beat.models import PeriodicTask

from app.engine.schedules.models import EntryState, Leadership, Occurrence

if TYPE_CHECKING:  # generic for mypy only
    StateInline = admin.StackedInline[EntryState, PeriodicTask]
    OccurrenceModelAdmin = admin.ModelAdmin[Occurrence]
    LeadershipModelAdmin = admin.ModelAdmin[Leadership]
else:
    StateInline = admin.StackedInline
    OccurrenceModelAdmin = LeadershipModelAdmin = admin.ModelAdmin


class EntryStateInline(StateInline):
    model = EntryState
    can_delete = False


class EntryAdmin(celery_beat.PeriodicTaskAdmin):
    """django-celery-beat's, with the policy for missed due times."""

    inlines = (EntryStateInline,)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Past django-celery-beat's own, which warns of every scheduler that is not in a setting that we do not have.
        response: HttpResponse = super(celery_beat.PeriodicTaskAdmin, self).changelist_view(request, extra_context)
        return response


admin.site.unregister(PeriodicTask)
admin.site.register(PeriodicTask, EntryAdmin)


@admin.register(Occurrence)
class OccurrenceAdmin(OccurrenceModelAdmin):
    """What became of each due time. Nobody edits the past."""

    list_display = ("schedule", "due_at", "outcome", "left_out", "task_id", "decided_at")
    list_filter = ("outcome", "schedule")
    search_fields = ("schedule", "task_id")
    ordering = ("-due_at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Occurrence | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Occurrence | None = None) -> bool:
        return False


@admin.register(Leadership)
class LeadershipAdmin(LeadershipModelAdmin):
    """Which beat acts."""

    list_display = ("leader", "fence", "since", "held_until")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Leadership | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Leadership | None = None) -> bool:
        return False
