from django.apps import AppConfig
from django.core import checks


class EngineConfig(AppConfig):
    name = "app.engine"
    label = "engine"

    def ready(self) -> None:
        from app.engine.checks import check_publications, check_routes, check_schedule, check_time_limits
        from app.engine.logs import tasks as task_lines
        from app.engine.metrics import recorder
        from app.engine.workers import grace

        for check in (check_routes, check_time_limits, check_schedule, check_publications):
            checks.register(check)
        task_lines.connect()
        recorder.connect()
        grace.connect()
