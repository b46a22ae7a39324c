"""The Celery application: ``celery --app app.config worker``."""

from django.conf import settings

from app.config.environment import use_settings
from app.engine.application import Application

use_settings()

celery_app = Application("millrace")
celery_app.config_from_object(settings.CELERY)
celery_app.set_default()
