"""Celery's settings that follow from the topology, and those without which SQS loses or doubles jobs."""

from functools import partial
from typing import Any

from kombu import Queue

from app.engine.aws.queue_urls import dead_letter_queue_url, queue_url
from app.engine.broker.errors import UnroutedTask
from app.engine.conf import EngineSettings
from app.topology.buckets import ARTIFACTS
from app.topology.naming import bucket_name


def celery_settings(settings: EngineSettings) -> dict[str, Any]:
    """Everything but the limits that a deployment chooses by its environment."""
    topology = settings.topology
    default = topology.queues[0]
    return {
        "broker_url": "sqs://",
        "broker_transport": "app.engine.broker.transport:Transport",
        "broker_transport_options": {
            "region": settings.region,
            "endpoint_url": settings.endpoint_url,
            "predefined_queues": {
                queue.name: {
                    "url": queue_url(settings, queue.name),
                    "dead_letter_url": dead_letter_queue_url(settings, queue.name),
                    "weight": queue.weight,
                }
                for queue in topology.queues
            },
            "wait_time_seconds": int(settings.sqs_wait_time.total_seconds()),
            "longest_delay_seconds": int(settings.longest_sqs_delay.total_seconds()),
            "release": settings.release,
            "claim_check": {"bucket": bucket_name(settings.name_prefix, ARTIFACTS.name)},
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
        # Rejected and not acknowledged, a failed run's message goes to the dead letters with its cause.
        "task_acks_on_failure": False,
        "task_acks_on_timeout": True,
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
