import atexit
from typing import Any

from celery import signals
from django.apps import AppConfig
from django.core import checks


class EngineConfig(AppConfig):
    name = "app.engine"
    label = "engine"

    def ready(self) -> None:
        from app.engine.checks import (
            check_declared_entries,
            check_publications,
            check_routes,
            check_sagas,
            check_schedule,
            check_time_limits,
        )
        from app.engine.logs import tasks as task_lines
        from app.engine.metrics import recorder
        from app.engine.workers import grace

        for check in (check_routes, check_time_limits, check_schedule, check_publications, check_declared_entries, check_sagas):
            checks.register(check)
        task_lines.connect()
        recorder.connect()
        grace.connect()
        signals.beat_init.connect(_report_beat, dispatch_uid="engine.presence", weak=False)
        signals.beat_init.connect(_publish_capacity_deficit, dispatch_uid="engine.scaling", weak=False)


def _report_beat(**_: Any) -> None:
    from app.engine.conf import engine_settings
    from app.engine.workers.presence import Presence

    presence = Presence(engine_settings())
    presence.start()
    atexit.register(presence.stop)


def _publish_capacity_deficit(sender: Any, **_: Any) -> None:
    from app.engine.conf import engine_settings
    from app.engine.scaling.publisher import Publisher
    from app.engine.scaling.sensor import Sensor

    settings = engine_settings()
    if settings.ecs_agent_url is None:  # the number of processes on a laptop is its owner's
        return
    scheduler = sender.scheduler
    publisher = Publisher(publish=Sensor(settings).publish_once, is_leading=lambda: scheduler.is_leading)
    publisher.start()
    atexit.register(publisher.stop)
