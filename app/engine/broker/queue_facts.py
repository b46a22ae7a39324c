"""What the deployed queue says of itself, which decides over what anybody wrote down elsewhere."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

#: SQS's own default, and what is assumed while a queue does not answer: early renewals harm nobody.
ASSUMED_VISIBILITY = timedelta(seconds=30)
#: An operator may change a queue under a running worker.
TRUSTED_SECONDS = 300.0
ASKED_AGAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class QueueFacts:
    visibility_timeout: timedelta
    dead_letter_url: str | None


class QueueBook:
    """Asks ``GetQueueAttributes`` once per queue and five minutes. Answers with what it last knew while SQS is away.

    ``None`` is no answer ever: a queue of which nothing is known may well have dead letters.

    Only threads that may wait for SQS ask.
    """

    def __init__(self, client: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._facts: dict[str, QueueFacts] = {}
        self._ask_at: dict[str, float] = {}

    def facts(self, url: str) -> QueueFacts | None:
        now = self._clock()
        if now >= self._ask_at.get(url, 0.0):
            try:
                answer = self._client().get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"])
                attributes = answer.get("Attributes", {})
                self._facts[url] = QueueFacts(
                    timedelta(seconds=int(attributes.get("VisibilityTimeout", ASSUMED_VISIBILITY.total_seconds()))),
                    _dead_letter_url(url, attributes.get("RedrivePolicy")),
                )
                self._ask_at[url] = now + TRUSTED_SECONDS
            except Exception:  # noqa: BLE001 — denied or away: the assumption is safe, and the next asking is near
                self._ask_at[url] = now + ASKED_AGAIN_SECONDS
        return self._facts.get(url)

    def visibility_timeout(self, url: str) -> timedelta:
        facts = self.facts(url)
        return ASSUMED_VISIBILITY if facts is None else facts.visibility_timeout


def _dead_letter_url(url: str, redrive_policy: str | None) -> str | None:
    """The address of the queue that the redrive policy names by its ARN: same host, its account and name."""
    if not redrive_policy:
        return None
    try:
        *_, account, name = json.loads(redrive_policy)["deadLetterTargetArn"].split(":")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{account}/{name}", "", ""))
