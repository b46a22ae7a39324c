"""What a message in a dead-letter queue says of its death. Anybody may have written it, so nothing here trusts a value of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from app.engine.broker.dead_letters import LONGEST_MESSAGE
from app.engine.broker.inspection import inspect_envelope
from app.engine.broker.lineage import REDRIVE, lineage_of
from app.engine.broker.received import CAUSE, REASON
from app.engine.broker.refusals import Refused
from app.engine.dead_letters.letter import DeadLetter, State, letter_id
from app.engine.failures import fingerprint
from app.engine.ledger.claims import generation_of
from app.engine.ledger.deaths import Death

#: SQS itself has moved it: it was delivered as often as its queue allows and never settled.
CRASH_LOOP = "crash-loop"
SAID_OF_CRASH_LOOPS = "Delivered as often as its queue allows and never settled: it may kill its worker."
LARGEST_CAUSE = 64 * 1024
LONGEST_WORD = 255
MOST_ATTEMPTS = 1_000_001
#: A clock may be off; a time that is more so was made up.
CLOCKS_DIFFER = timedelta(days=1).total_seconds()


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """``death`` is there if the record of its job has to say what no worker could."""

    letter: DeadLetter
    death: Death | None


def read_message(raw: Mapping[str, Any], *, queue: str, retention: timedelta, now: float) -> Read:
    """Raises nothing, whatever the message is."""
    body: str = raw["Body"]
    attributes: Mapping[str, Any] = raw.get("MessageAttributes") or {}
    system: Mapping[str, str] = raw.get("Attributes") or {}
    headers = _headers(body, queue, now)
    cause = _cause(attributes)
    task = _word(headers.get("task")) or _word(cause.get("task"))
    reason = _word(_text(attributes, REASON)) or _word(cause.get("reason")) or CRASH_LOOP
    exception = _word(cause.get("exception"))
    message = _printable(cause.get("message"), LONGEST_MESSAGE) or (SAID_OF_CRASH_LOOPS if reason == CRASH_LOOP else "")
    lineage = lineage_of(attributes, headers)
    redrives = lineage.count if lineage else 0
    # Whoever was sent back began anew, whatever the message says.
    retries = 0 if lineage is not None and REDRIVE in attributes else _whole(headers.get("retries"))
    attempts = _whole(cause.get("attempts")) or retries + 1
    sent_at = int(system["SentTimestamp"]) / 1000 if system.get("SentTimestamp", "").isdigit() else now
    identity = letter_id(queue, str(raw["MessageId"]))
    letter = DeadLetter(
        id=identity,
        state=State.DEAD,
        queue=queue,
        message_id=str(raw["MessageId"]),
        reason=reason,
        # Letters without a cause of their own are one problem by task and reason.
        fingerprint=_word(cause.get("fingerprint")) or fingerprint(task, reason, message if cause else "", ""),
        message=message,
        died_at=_died_at(cause.get("failed_at"), now),
        entered_at=now,
        expires_at=int(sent_at + retention.total_seconds()),
        body_bytes=len(body.encode("utf-8", "surrogatepass")),
        attempts=attempts,
        task=task,
        task_id=_word(headers.get("id")) or _word(cause.get("task_id")),
        tenant=_word(system.get("MessageGroupId")),
        exception=exception,
        release=_word(cause.get("release")),
        redrives=redrives,
        lineage=lineage,
    )
    death = Death(
        task_id=letter.task_id,
        task=task,
        queue=queue,
        generation=generation_of({**headers, "retries": retries}),
        attempts=attempts,
        redrives=redrives,
        error=f"{exception or reason}: {message}"[:500],
        letter=identity,
    )
    # A run that failed has stored its failure before its message was moved.
    return Read(letter=letter, death=death if headers and reason == CRASH_LOOP else None)


def _headers(body: str, queue: str, now: float) -> dict[str, Any]:
    """Of an envelope that a worker could read; empty for any other."""
    try:
        return dict(inspect_envelope(body, queue=queue, now=now, latest_eta_seconds=inf).payload["headers"])
    except Refused:
        return {}


def _cause(attributes: Mapping[str, Any]) -> dict[str, Any]:
    text = _text(attributes, CAUSE)
    try:
        cause = json.loads(text) if len(text) <= LARGEST_CAUSE else None
    except (ValueError, RecursionError):
        return {}
    return cause if isinstance(cause, dict) else {}


def _text(attributes: Mapping[str, Any], name: str) -> str:
    attribute = attributes.get(name)
    value = attribute.get("StringValue") if isinstance(attribute, Mapping) else None
    return value if isinstance(value, str) else ""


def _died_at(told: object, now: float) -> float:
    """As its worker says, or now, which is when somebody looked first."""
    if isinstance(told, str) and len(told) <= LONGEST_WORD:
        try:
            died = datetime.fromisoformat(told)
            seconds = (died if died.tzinfo else died.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return now
        if 0 < seconds <= now + CLOCKS_DIFFER:
            return seconds
    return now


def _word(value: object) -> str:
    return _printable(value, LONGEST_WORD)


def _printable(value: object, longest: int) -> str:
    """No line ends, which forge log lines, and no half surrogate pairs, which no store takes."""
    if not isinstance(value, str):
        return ""
    text = value[:longest]
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _whole(value: object) -> int:
    return value if type(value) is int and 0 < value < MOST_ATTEMPTS else 0
