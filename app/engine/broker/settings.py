"""Celery's settings that follow from the topology, and those without which SQS loses or doubles jobs."""

from datetime import timedelta
from functools import partial
from typing import Any

from kombu import Queue

from app.engine.aws.queue_urls import queue_url
from app.engine.broker.errors import UnroutedTask
from app.engine.conf import EngineSettings

#: SQS's longest; the fewest empty receives.
WAIT_TIME = timedelta(seconds=20)


def celery_settings(settings: EngineSettings) -> dict[str, Any]:
    """Everything but the limits that a deployment chooses by its environment."""
    topology = settings.topology
    default = topology.queues[0]
    return {
        "broker_url": "sqs://",
        "broker_transport": "app.engine.broker.transport:Transport",
        "broker_transport_options": {
            "region": settings.region,
            "predefined_queues": {queue.name: {"url": queue_url(settings, queue.name)} for queue in topology.queues},
            "wait_time_seconds": int(WAIT_TIME.total_seconds()),
            # kombu 5.7 sleeps this long whenever the prefetch window is full (kombu PR #2489).
            "polling_interval": 0,
            # Readable in the SQS console, and 1.0 instead of 1.8 bytes on the wire; stock consumers understand it.
            "sqs_base64_encoding": False,
            "body_encoding": "utf-8",
            "fetch_message_attributes": {"MessageSystemAttributeNames": ["ApproximateReceiveCount", "SentTimestamp"]},
        },
        "broker_connection_retry_on_startup": True,
        "result_backend": "app.engine.ledger.backend:LedgerBackend",
        "result_expires": settings.result_ttl,
        "result_extended": False,
        # A store that is throttled or away is asked again; otherwise a job that is done would be recorded as failed.
        "result_backend_always_retry": True,
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "task_queues": [Queue(queue.name) for queue in topology.queues],
        "task_default_queue": default.name,
        "task_create_missing_queues": False,
        "task_routes": (partial(_route, settings),),
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "enable_utc": True,
        "timezone": "UTC",
    }


def _route(settings: EngineSettings, task_name: str, _args: Any, _kwargs: Any, options: dict[str, Any], **_: Any) -> dict[str, str] | None:
    """The queue of a task. Celery's own answer to an unknown name is the default queue, where nobody knows it either."""
    if "queue" in options:
        return None
    queue = settings.topology.queue_for(task_name)
    if queue is None:
        raise UnroutedTask(
            f"No queue carries the task {task_name!r}. Correct the name, add a route in app/topology/queues.py, or name the queue: queue=…"
        )
    return {"queue": queue.name}
