"""The pulse file: touched by the loop that does a service's work, read by its container's health check."""

import time
from datetime import timedelta
from pathlib import Path

from app.engine.conf import EngineSettings


def pulse_file(directory: Path, service: str) -> Path:
    return directory / f"{service}.pulse"


def beat_pulse(settings: EngineSettings) -> None:
    """Say that this service's loop is turning."""
    pulse_file(settings.pulse_directory, settings.service).touch()


def pulse_age(directory: Path, service: str) -> timedelta | None:
    """How long ago the loop turned, or ``None`` if it never did."""
    try:
        return timedelta(seconds=time.time() - pulse_file(directory, service).stat().st_mtime)
    except FileNotFoundError:
        return None
