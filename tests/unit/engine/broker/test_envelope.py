"""What a message looks like in SQS."""

import json
from typing import Any

from celery import current_app
from kombu.transport import SQS

from app.engine.broker import envelope

MOST_BYTES = 1600


def message(payload: str) -> dict[str, Any]:
    """As Celery hands a job with one argument to its broker."""
    task = current_app.amqp.as_task_v2("0c8f1b9e-58f5-4a43-8f0c-0b7a43a1a0d5", "payments.capture", (payload,), {})
    return {
        "body": envelope.dumps(task.body),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": task.headers,
        "properties": {**task.properties, "priority": 0, "body_encoding": "utf-8", "delivery_info": {"exchange": "", "routing_key": "q"}},
    }


def test_a_payload_of_a_thousand_bytes_is_not_much_more_on_the_wire() -> None:
    text = envelope.encode(message("x" * 1000))

    assert len(json.dumps({"QueueUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/millrace", "MessageBody": text})) <= MOST_BYTES


def test_stock_kombu_reads_it() -> None:
    text = envelope.encode(message("payload"))

    payload = SQS.Channel._prepare_json_payload(None, text)

    assert json.loads(payload["body"])[0] == ["payload"]
    assert payload["headers"]["task"] == "payments.capture"
    assert payload["properties"]["body_encoding"] == "utf-8"


def test_no_argument_stands_in_it_twice() -> None:
    assert envelope.encode(message("swordfish")).count("swordfish") == 1


def test_what_the_id_says_is_put_back_when_it_is_received() -> None:
    sent = message("payload")
    payload = json.loads(envelope.encode(sent))

    envelope.complete(payload)

    assert payload["headers"]["root_id"] == sent["headers"]["root_id"]
    assert payload["properties"]["correlation_id"] == sent["properties"]["correlation_id"]


def test_what_others_put_into_the_headers_stays_even_if_it_is_empty() -> None:
    own: dict[str, Any] = {"tenant": None, "flags": [], "amounts": {}, "count": 0, "parts": [None]}
    sent = message("payload")

    payload = json.loads(envelope.encode({**sent, "headers": sent["headers"] | own}))

    assert own.items() <= payload["headers"].items()


def test_what_a_run_would_not_read_from_its_absence_is_sent() -> None:
    payload = json.loads(envelope.encode(message("payload")))

    assert (payload["headers"]["timelimit"], payload["headers"]["stamps"], payload["properties"]["priority"]) == ([None, None], {}, 0)
