"""Can this process do its work: database, SQS, DynamoDB."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
    wait(answers.values(), timeout=patience.total_seconds())
    # A call that hangs ends with its own time-out; nobody waits for it.
    pool.shutdown(wait=False)
    return {name: _problem(answer, patience) for name, answer in answers.items()}


def _problem(answer: "Future[object]", patience: timedelta) -> str | None:
    if not answer.done():
        return f"no answer within {patience.total_seconds():g} s"
    error = answer.exception()
    return None if error is None else f"{type(error).__name__}: {error}"


def _ask_database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connections.close_all()
