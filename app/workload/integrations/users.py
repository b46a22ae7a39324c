"""The partner's users, kept up to date.

    cursor ── page of changes ──▶ its jobs and the next cursor are one transaction ──▶ …
       └───── another run was first: this one is over

A job takes over one user as the partner knows it then, so that jobs may come twice and in any order: the newest version wins.
"""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from app.engine.outbox.publisher import publish
from app.workload.integrations import partner
from app.workload.integrations.models import PartnerUser, SyncCursor

USERS = "users"
_USERS_PER_PAGE = 100
_PAGES_PER_RUN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    pages: int
    users: int


def sync_user_data(*, per_page: int = _USERS_PER_PAGE, pages: int = _PAGES_PER_RUN) -> Pulled:
    """Publish a job for each user that changed since the last success, page by page. What is left after ``pages`` is another job's.

    Raises what :func:`app.workload.integrations.partner.changes_after` does; the cursor then stands where the last good page ended.
    """
    row, _ = SyncCursor.objects.get_or_create(feed=USERS)
    cursor, users = row.cursor, 0
    for read in range(1, pages + 1):
        page = partner.changes_after(cursor, per_page)
        with transaction.atomic():
            # | our cursor ── move it ──▶ the next one |  another's ── a twin was here ──▶ nothing is published |
            is_ours = SyncCursor.objects.filter(feed=USERS, cursor=cursor).update(cursor=page.next_cursor, succeeded_at=timezone.now()) == 1
            if not is_ours:
                return Pulled(pages=read - 1, users=users)
            for change in page.changes:
                publish("integrations.sync_individual_user", partner_user_id=change.partner_user_id, version=change.version)
            if page.has_more and read == pages:
                publish("integrations.sync_user_data")
        cursor, users = page.next_cursor, users + len(page.changes)
        if not page.has_more:
            break
    return Pulled(pages=read, users=users)


def sync_individual_user(*, partner_user_id: str, version: int) -> str:
    """Take over one user; say what came of it: ``known``, ``gone``, ``updated`` or ``older``."""
    if PartnerUser.objects.filter(partner_id=partner_user_id, version__gte=version).exists():
        return "known"
    found = partner.read_user(partner_user_id)
    if found is None:
        return "gone"
    told = {"version": found.version, "name": found.name, "email": found.email, "synced_at": timezone.now()}
    _, is_new = PartnerUser.objects.get_or_create(partner_id=found.partner_user_id, defaults=told)
    # | an older version ── take over ──▶ this one |  this one or a newer ── a twin was first ──▶ unchanged |
    is_newer = PartnerUser.objects.filter(partner_id=found.partner_user_id, version__lt=found.version).update(**told) == 1
    return "updated" if is_new or is_newer else "older"
