"""The declared schedule: everything that beat sends by itself. Operators add their own in the admin."""

from datetime import timedelta
from typing import Any

from celery.schedules import crontab

from app.engine.schedules.missed import Missed

_WEEKDAYS_AT_8 = crontab(hour=8, minute=0, day_of_week="mon-fri")

SCHEDULE: dict[str, dict[str, Any]] = {
    "images.clear_unfinished": {"task": "images.clear_unfinished", "schedule": timedelta(hours=1)},
    "payments.resume_unfinished": {"task": "payments.resume_unfinished", "schedule": timedelta(minutes=1)},
    "mailings.resume_unfinished": {"task": "mailings.resume_unfinished", "schedule": timedelta(minutes=1)},
    "housekeeping.cleanup_expired_sessions": {"task": "housekeeping.cleanup_expired_sessions", "schedule": crontab(hour=2, minute=0)},
    "housekeeping.old_results": {"task": "housekeeping.cleanup_old_results", "schedule": crontab(hour=3, minute=0), "kwargs": {"days": 90}},
    "payments.check_books": {"task": "payments.check_books", "schedule": timedelta(hours=1)},
    "engine.repair_sagas": {"task": "engine.repair_sagas", "schedule": timedelta(minutes=1)},
    "engine.forget_old_sagas": {"task": "engine.forget_old_sagas", "schedule": timedelta(hours=1)},
    # While the partner is away, one run waits, not one for each hour.
    "integrations.sync": {"task": "integrations.sync_user_data", "schedule": timedelta(hours=1), "options": {"expire_seconds": 3600}},
    "reports.generate_daily_reports": {"task": "reports.generate_daily_reports", "schedule": _WEEKDAYS_AT_8, "missed": Missed.ALL},
    "reports.resume_unfinished": {"task": "reports.resume_unfinished", "schedule": timedelta(minutes=5)},
    "reports.forget_old_reports": {"task": "reports.forget_old_reports", "schedule": timedelta(hours=1)},
    "engine.forget_old_effects": {"task": "engine.forget_old_effects", "schedule": timedelta(hours=1)},
    "engine.forget_old_progress": {"task": "engine.forget_old_progress", "schedule": timedelta(hours=1)},
    "engine.forget_old_permits": {"task": "engine.forget_old_permits", "schedule": timedelta(hours=1)},
    "api.forget_old_requests": {"task": "api.forget_old_requests", "schedule": timedelta(hours=1)},
}
