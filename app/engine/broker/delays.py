"""A job that is not due yet waits in SQS, never in a worker's memory.

    put ──eta ≤ 900 s away──▶ SQS's own delay ──────────────▶ received when due
     └────eta further away──▶ delayed by 900 s ──received──▶ put again for the rest

The second way works for any producer. It is at least once (sent again, then deleted) and can neither be listed nor
cancelled: :class:`~app.engine.application.Application` keeps far-off jobs in the outbox and sends them when they come near.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.engine.broker.options import LONGEST_DELAY_SECONDS

__all__ = ["EARLY_SECONDS", "LONGEST_DELAY_SECONDS", "asked_delay", "delay_seconds", "due_at"]

#: A message that comes less than this before it is due is left to the worker's timer: clocks differ by that much.
EARLY_SECONDS = 0.5


def due_at(headers: Mapping[str, Any]) -> float | None:
    """The POSIX time before which the job must not start; ``None`` for one that may start at once.

    Celery writes ISO 8601. A time without a zone is UTC, which is Celery's own reading as long as ``enable_utc`` is on.
    """
    eta = headers.get("eta")
    if not isinstance(eta, str):
        return None
    try:
        moment = datetime.fromisoformat(eta)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def delay_seconds(due: float | None, now: float, longest: int = LONGEST_DELAY_SECONDS) -> int:
    """SQS's ``DelaySeconds``: whole, rounded up so that nothing is early, and never more than ``longest``."""
    if due is None:
        return 0
    return max(0, min(longest, math.ceil(due - now)))


def asked_delay(properties: Mapping[str, Any]) -> int:
    """What the caller asks of SQS itself, ``apply_async(DelaySeconds=…)``, in either of kombu's spellings. More than SQS takes is its most.

    Raises ``TypeError`` or ``ValueError`` for what is no number.
    """
    asked = properties.get("delay_seconds")
    if asked is None:
        asked = properties.get("DelaySeconds")
    return 0 if asked is None else max(0, min(LONGEST_DELAY_SECONDS, int(asked)))
