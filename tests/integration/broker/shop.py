"""The program on our transport."""

from typing import Any

from celery import chain, chord, chunks, group, signals, signature  # noqa: F401 — for the code that tests run in this module

from app.engine.broker.program import Program
from tests.integration.broker.shop_tasks import *  # noqa: F403 — the same
from tests.integration.broker.shop_tasks import GIVEN, write

app = Program("shop")
app.conf.update(
    broker_url=GIVEN["broker_url"],
    broker_transport="app.engine.broker.transport:Transport",
    broker_transport_options=GIVEN["options"],
    broker_connection_retry_on_startup=True,
    result_backend=GIVEN["result_backend"],
    task_default_queue="jobs",
    task_create_missing_queues=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_acks_on_failure=False,
    task_acks_on_timeout=True,
    worker_prefetch_multiplier=1,
)
app.Task.Request = "app.engine.broker.request:Request"
app.set_default()


@signals.task_prerun.connect
def _prerun(task_id: str, task: Any, args: Any, **_: Any) -> None:
    if task.name == "shop.forget":
        write("prerun", args[0])
