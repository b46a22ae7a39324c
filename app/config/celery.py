"""The Celery application: ``celery --app app.config worker``."""

from celery import signals
from django.conf import settings

from app.config.environment import use_settings
from app.config.startup import refuse_wrong_start
from app.engine.application import Application

use_settings()

celery_app = Application("millrace")
celery_app.config_from_object(settings.CELERY)
celery_app.set_default()

signals.worker_init.connect(refuse_wrong_start, dispatch_uid="config.startup")
signals.beat_init.connect(refuse_wrong_start, dispatch_uid="config.startup")
