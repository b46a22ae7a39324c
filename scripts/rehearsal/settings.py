"""The application's settings, and the exercises besides."""

from app.config import settings
from app.config.settings import *  # noqa: F403 — all of them, as Django reads a module

INSTALLED_APPS = [*settings.INSTALLED_APPS, "scripts.rehearsal.exercises"]
ROOT_URLCONF = "scripts.rehearsal.urls"
