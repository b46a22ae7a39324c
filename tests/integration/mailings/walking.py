"""Works off what a test published, as workers would, one job after the other and without waiting for what is due later."""

import base64
import json
from collections import Counter
from typing import Any

from app.engine.outbox.models import OutboxMessage
from app.workload.mailings import event_mails, services
from app.workload.mailings.delivery import Run
from app.workload.mailings.models import Mail


def arguments_of(message: OutboxMessage) -> dict[str, Any]:
    text = message.body if message.body.startswith("[") else base64.b64decode(message.body).decode()
    _, kwargs, _ = json.loads(text)
    return dict(kwargs)


def work_off(jobs: int = 200) -> Counter[str]:
    """Returns how many jobs of each task were run."""
    ran: Counter[str] = Counter()
    while (message := OutboxMessage.objects.filter(task__startswith="mailings.").order_by("pk").first()) and sum(ran.values()) < jobs:
        message.delete()
        run_job(message.task, arguments_of(message), Run(job=message.task_id, fence=1))
        ran[message.task] += 1
    return ran


def run_job(task: str, arguments: dict[str, Any], run: Run) -> Any:
    match task:
        case "mailings.process_bulk_emails":
            return services.process_bulk_emails(**arguments)
        case "mailings.send_chunk":
            return services.send_chunk(**arguments, run=run)
        case _:
            return event_mails.send_templated_email(**arguments, run=run)


def states() -> Counter[str]:
    return Counter(Mail.objects.values_list("state", flat=True))
