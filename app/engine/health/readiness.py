"""Can this process do its work: database, SQS, DynamoDB."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta

from django.db import connection, connections

from app.engine.aws import clients
from app.engine.aws.queue_urls import queue_url
from app.engine.conf import EngineSettings
from app.topology.naming import table_name

PATIENCE = timedelta(seconds=2)


def check_dependencies(settings: EngineSettings, patience: timedelta = PATIENCE) -> Mapping[str, str | None]:
    """Ask each dependency at the same time; ``None`` for one that answers, else what went wrong."""
    questions: dict[str, Callable[[], object]] = {
        "database": _ask_database,
        "sqs": lambda: clients.sqs(settings).get_queue_attributes(
            QueueUrl=queue_url(settings, settings.topology.queues[0].name), AttributeNames=["QueueArn"]
        ),
        "dynamodb": lambda: clients.dynamodb(settings).describe_table(
            TableName=table_name(settings.name_prefix, settings.topology.tables[0].name)
        ),
    }
    pool = ThreadPoolExecutor(max_workers=len(questions), thread_name_prefix="readiness")
    answers = {name: pool.submit(question) for name, question in questions.items()}
    problems: dict[str, str | None] = {}
    for name, answer in answers.items():
        try:
            answer.result(timeout=patience.total_seconds())
            problems[name] = None
        except FutureTimeout:
            problems[name] = f"no answer within {patience.total_seconds():g} s"
        except Exception as error:  # noqa: BLE001 — whatever it is, the dependency does not work
            problems[name] = f"{type(error).__name__}: {error}"
    # A call that hangs ends with its own time-out; nobody waits for it.
    pool.shutdown(wait=False)
    return problems


def _ask_database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connections.close_all()
