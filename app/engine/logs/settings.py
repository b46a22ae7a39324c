"""Django's ``LOGGING``."""

import logging
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from app.engine.logs import context


class Formatter(JsonFormatter):
    """JSON with the context of the run or request."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        # Django's, whose repr holds the query; the request's own line has method, path and status.
        log_data.pop("request", None)
        for name, value in context.current().items():
            log_data.setdefault(name, value)


class WithoutBodies(logging.Filter):
    """Celery prints a message that it cannot use whole, arguments included. It keeps what is wrong; the body stays in SQS."""

    _BEGINNINGS_OF_A_BODY = ("The full contents of the message body was:", "\nbody: ")

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("celery."):
            text = record.getMessage()
            for beginning in self._BEGINNINGS_OF_A_BODY:
                if beginning in text:
                    text = text.partition(beginning)[0].strip()
                    record.msg, record.args = text, ()
        return True


def logging_settings(*, level: str, service: str, release: str) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": Formatter,
                "fmt": ["levelname", "name", "message"],
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": "at",
                "static_fields": {"service": service, "release": release},
            },
        },
        "filters": {"without_bodies": {"()": WithoutBodies}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["without_bodies"]}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Its lines repeat ours and hold results and reprs; crashes of the worker itself still come through.
            "celery.app.trace": {"level": "CRITICAL"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.redirected": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
            "urllib3": {"level": "WARNING"},
            "stripe": {"level": "WARNING"},
            # A refused request is one line of ours; without this it would be a second one that says less.
            "django.request": {"level": "ERROR"},
            "django.server": {"handlers": [], "level": "WARNING"},
        },
    }
