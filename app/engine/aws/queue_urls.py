"""Logical queue names become SQS addresses without asking SQS: the names are ours, the rest is region and account.

That saves a call at every start, the permission for it, and a start that fails while SQS is away.
"""

from app.engine.conf import EngineSettings
from app.topology.naming import dead_letter_queue_name, queue_name


def queue_url(settings: EngineSettings, queue: str) -> str:
    return _url(settings, queue_name(settings.name_prefix, queue))


def dead_letter_queue_url(settings: EngineSettings, queue: str) -> str:
    return _url(settings, dead_letter_queue_name(settings.name_prefix, queue))


def _url(settings: EngineSettings, physical_name: str) -> str:
    suffix = "amazonaws.com.cn" if settings.region.startswith("cn-") else "amazonaws.com"
    base = settings.endpoint_url or f"https://sqs.{settings.region}.{suffix}"
    return f"{base}/{settings.account_id}/{physical_name}"
