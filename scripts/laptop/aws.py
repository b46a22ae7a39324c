"""AWS on a laptop: ``python -m scripts.laptop.aws --port N`` is a moto server fit for running an app on it.

What moto alone does under load, and what is done about it here:

- UpdateItem loses updates under threads: DynamoDB calls are served one at a time.
- Every SQS call walks the queue, several times: sends walk nothing, a receive stops at its last message.
- Two receivers can get one message, and a delete can lose a concurrent send: a queue is changed under its own lock,
  which a long poll gives up while it waits.
- A long poll outlives its client and swallows a message: it looks at the socket before it takes one.
- Nothing reports the age of the oldest message: a thread puts it into CloudWatch every two seconds.

Limits: everything is kept in memory and forgotten at exit; moto stays kinder than AWS where this page is silent
(no duplicates, no reordering, a stale receipt handle still deletes).
"""

import argparse
import copy
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import flask
import moto
from moto.cloudwatch.models import CloudWatchBackend, cloudwatch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.utils import camelcase_to_underscores, utcnow
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs import models as sqs
from moto.sqs.exceptions import InvalidAttributeName, ReceiptHandleIsInvalid
from werkzeug.serving import make_server

from scripts.laptop.loopback import HOST, serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

AGE_EVERY = timedelta(seconds=2)
METRICS_KEPT = timedelta(hours=1)

# A waiting poll looks this often whether its client is still there.
_LOOK_AROUND_SECONDS = 1.0
_COUNTERS = {
    "ApproximateNumberOfMessages": "approximate_number_of_messages",
    "ApproximateNumberOfMessagesDelayed": "approximate_number_of_messages_delayed",
    "ApproximateNumberOfMessagesNotVisible": "approximate_number_of_messages_not_visible",
}


def application() -> "WSGIApplication":
    """Return all of moto's AWS as one WSGI application, with the corrections above; they hold for this process."""
    _correct_sqs()
    return _one_at_a_time(DomainDispatcherApplication(create_backend_app))


# ── DynamoDB ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _one_at_a_time(app: "WSGIApplication") -> "WSGIApplication":
    dynamodb = threading.Lock()

    def serialised(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB"):
            return app(environ, start_response)
        with dynamodb:
            return list(app(environ, start_response))

    return serialised


# ── SQS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _correct_sqs() -> None:
    _require_private_names()
    _replace(sqs, "unix_time", time.time)
    _replace(sqs, "unix_time_millis", _now_millis)
    _replace(sqs.Queue, "attributes", property(_settings))
    _replace(sqs.Queue, "messages", property(_visible))
    _replace(sqs.Queue, "approximate_number_of_messages_delayed", property(_count_delayed))
    _replace(sqs.Queue, "approximate_number_of_messages_not_visible", property(_count_in_flight))
    _replace(sqs.Queue, "delete_message", _delete)
    _replace(sqs.SQSBackend, "get_queue_attributes", _get_queue_attributes)
    _replace(sqs.SQSBackend, "receive_message", _receive_message)
    _replace(sqs.SQSBackend, "change_message_visibility", _locked(sqs.SQSBackend.change_message_visibility))
    _replace(sqs.SQSBackend, "purge_queue", _locked(sqs.SQSBackend.purge_queue))


def _replace(owner: object, name: str, new: object) -> None:
    _require(hasattr(owner, name), f"{getattr(owner, '__name__', owner)}.{name}")
    setattr(owner, name, new)


def _require_private_names() -> None:
    queue = sqs.SQSBackend("us-east-1", DEFAULT_ACCOUNT_ID).create_queue("probe")
    for name in (
        "_messages",
        "_pending_messages",
        "_messages_lock",
        "deleted_messages",
        "redrive_policy",
        "dead_letter_queue",
    ):
        _require(hasattr(queue, name), f"Queue.{name}")
    message = sqs.Message("probe", "")
    for name in ("visible_at", "delayed_until", "receipt_handle", "_old_receipt_handles", "sent_timestamp", "group_id"):
        _require(hasattr(message, name), f"Message.{name}")
    for name in ("_filter_message_attributes", "sqs_backends"):
        _require(hasattr(sqs, name), f"moto.sqs.models.{name}")
    for name in _COUNTERS:
        _require(name in sqs.Queue.BASE_ATTRIBUTES, f"Queue.BASE_ATTRIBUTES[{name!r}]")
    _require(hasattr(CloudWatchBackend("us-east-1", DEFAULT_ACCOUNT_ID), "metric_data"), "CloudWatchBackend.metric_data")


def _require(there: bool, name: str) -> None:
    # raised, not asserted: it has to hold under python -O as well
    if not there:
        raise AssertionError(
            f"moto {moto.__version__} no longer has {name}, which scripts/laptop/aws.py corrects. "
            "Pin moto to 5.2.5, or carry the correction over."
        )


def _now_millis() -> float:
    return time.time() * 1000.0


def _sent_millis(message: sqs.Message) -> float:
    sent: Any = message.sent_timestamp  # moto declares it None
    return float(sent)


def _settings(queue: sqs.Queue) -> dict[str, Any]:
    """What moto calls attributes, without the three counters: sends read it, and counting walks the queue."""
    names = [name for name in queue.BASE_ATTRIBUTES if name not in _COUNTERS]
    if queue.fifo_queue:
        names += queue.FIFO_ATTRIBUTES
    settings = {name: getattr(queue, camelcase_to_underscores(name)) for name in names}
    if settings["RedrivePolicy"]:
        settings["RedrivePolicy"] = json.dumps(settings["RedrivePolicy"])
    if kms_key := getattr(queue, "kms_master_key_id", None):
        settings["KmsMasterKeyId"] = kms_key
        settings["KmsDataKeyReusePeriodSeconds"] = getattr(queue, "kms_data_key_reuse_period_seconds", None)
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in settings.items()}


def _visible(queue: sqs.Queue) -> list[sqs.Message]:
    now = _now_millis()
    return [message for message in queue._messages if message.visible_at < now >= message.delayed_until]


def _count_delayed(queue: sqs.Queue) -> int:
    now = _now_millis()
    return sum(message.delayed_until > now for message in queue._messages)


def _count_in_flight(queue: sqs.Queue) -> int:
    now = _now_millis()
    return sum(message.visible_at >= now for message in queue._messages)


def _get_queue_attributes(backend: sqs.SQSBackend, queue_name: str, attribute_names: list[str]) -> dict[str, Any]:
    queue = backend.get_queue(queue_name)
    known = {"All", *queue.BASE_ATTRIBUTES, *queue.FIFO_ATTRIBUTES, *queue.KMS_ATTRIBUTES}
    for name in attribute_names:
        if name not in known:
            raise InvalidAttributeName(name)
    asked = known if "All" in attribute_names else set(attribute_names)
    settings = {name: value for name, value in queue.attributes.items() if name in asked and value is not None}
    with queue._messages_lock:
        return settings | {name: getattr(queue, field) for name, field in _COUNTERS.items() if name in asked}


def _locked(method: Callable[..., None]) -> Callable[..., None]:
    """Run a method of the backend under the queue's lock, and wake the polls: a message may have become visible."""

    def locked(backend: sqs.SQSBackend, queue_name: str, *arguments: Any, **options: Any) -> None:
        changed = backend.get_queue(queue_name)._messages_lock
        with changed:
            method(backend, queue_name, *arguments, **options)
            changed.notify_all()

    return locked


def _delete(queue: sqs.Queue, receipt_handle: str) -> None:
    with queue._messages_lock:
        if receipt_handle in queue.deleted_messages:
            return
        for message in queue._messages:
            if message.receipt_handle == receipt_handle or receipt_handle in message._old_receipt_handles:
                queue._messages.remove(message)
                queue._pending_messages.discard(message)
                queue.deleted_messages.update(handle for handle in message.all_receipt_handles if handle)
                return
    raise ReceiptHandleIsInvalid


def _receive_message(
    backend: sqs.SQSBackend,
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,
    visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[sqs.Message]:
    queue = backend.get_queue(queue_name)
    client = flask.request.environ.get("werkzeug.socket") if flask.has_request_context() else None
    deadline = time.monotonic() + wait_seconds_timeout
    with queue._messages_lock:
        while client is None or _is_connected(client):
            picked, seconds_to_next = _pick(queue, count, visibility_timeout)
            seconds_left = deadline - time.monotonic()
            if picked or seconds_left <= 0:
                return [_as_received(message, message_attribute_names or []) for message in picked]
            queue._messages_lock.wait(min(seconds_left, seconds_to_next, _LOOK_AROUND_SECONDS))
    return []


def _is_connected(client: socket.socket) -> bool:
    """Whether the other side is still there; a killed worker's socket reads as closed."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _pick(queue: sqs.Queue, count: int, visibility_timeout: int) -> tuple[list[sqs.Message], float]:
    """Take up to ``count`` messages; if there are none, also say in how many seconds the next one becomes visible.

    The caller holds the queue's lock. Messages over their receive count move to the dead-letter queue on the way.
    """
    # | delayed ── delayed_until ──▶ visible ── pick ──▶ in flight |  visible ── received maxReceiveCount times ──▶ dead letter |
    # |                                 ▲────── visible_at ──────┘ |
    now = _now_millis()
    oldest_kept = now - 1000 * int(vars(queue)["message_retention_period"])
    most_receives = queue.redrive_policy["maxReceiveCount"] if queue.dead_letter_queue and queue.redrive_policy else None
    busy_groups = {m.group_id for m in queue._pending_messages if m.visible_at >= now} if queue.fifo_queue else set()
    picked: list[sqs.Message] = []
    dead: list[sqs.Message] = []
    expired: list[sqs.Message] = []
    next_visible = float("inf")
    for message in queue._messages:
        hidden_until = max(message.visible_at, message.delayed_until)
        if hidden_until >= now:
            next_visible = min(next_visible, hidden_until)
        elif _sent_millis(message) < oldest_kept:
            expired.append(message)
        elif queue.fifo_queue and message.group_id in busy_groups:
            continue
        elif most_receives is not None and message.approximate_receive_count >= most_receives:
            dead.append(message)
        else:
            message.mark_received(visibility_timeout=visibility_timeout)
            queue._pending_messages.add(message)
            picked.append(message)
            if len(picked) == count:
                break
    for message in dead + expired:
        queue._messages.remove(message)
        queue._pending_messages.discard(message)
    if queue.dead_letter_queue is not None:
        for message in dead:
            queue.dead_letter_queue.add_message(message)
    # one millisecond more, as a message is visible only after its time, not at it
    return picked, max(0.0, next_visible - now + 1) / 1000


def _as_received(message: sqs.Message, message_attribute_names: list[str]) -> sqs.Message:
    # a copy, as the next receive changes the handle; a shallow one, as nothing in it is changed in place but the old handles
    received = copy.copy(message)
    sqs._filter_message_attributes(received, message_attribute_names)
    return received


# ── CloudWatch ───────────────────────────────────────────────────────────────────────────────────────────────────────


def report_ages() -> None:
    """Put the age of every queue's oldest message into CloudWatch, 0 for an empty queue, as AWS does once a minute."""
    for account, regions in list(sqs.sqs_backends.items()):
        for region, backend in list(regions.items()):
            for queue in list(backend.queues.values()):
                with queue._messages_lock:
                    oldest = min(map(_sent_millis, queue._messages), default=_now_millis())
                cloudwatch_backends[account][region].put_metric_data(
                    "AWS/SQS",
                    [
                        {
                            "MetricName": "ApproximateAgeOfOldestMessage",
                            "Dimensions": [{"Name": "QueueName", "Value": queue.name}],
                            "Value": max(0.0, (_now_millis() - oldest) // 1000),
                            "Unit": "Seconds",
                        }
                    ],
                )


def forget_old_metrics() -> None:
    """Drop metric data older than an hour, oldest first; moto keeps it for ever."""
    oldest_kept = utcnow() - METRICS_KEPT
    for regions in list(cloudwatch_backends.values()):
        for backend in list(regions.values()):
            old = 0
            for datum in backend.metric_data:
                if datum.timestamp.replace(tzinfo=None) >= oldest_kept:
                    break
                old += 1
            # one atomic deletion at the front: a datum that is appended meanwhile is kept
            del backend.metric_data[:old]


def _report_for_ever() -> None:
    while True:
        report_ages()
        forget_old_metrics()
        time.sleep(AGE_EVERY.total_seconds())


# ── the process ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _RequestHandler(MotoRequestHandler):
    """HTTP/1.1 with kept connections and no delay for small writes; writes no access log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def main() -> None:
    """Serve AWS until a signal ends it."""
    parser = argparse.ArgumentParser(description="AWS on a laptop (moto).")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free port")
    arguments = parser.parse_args()
    app = application()
    threading.Thread(target=_report_for_ever, name="ages", daemon=True).start()
    serve(make_server(HOST, arguments.port, app, threaded=True, request_handler=_RequestHandler))


if __name__ == "__main__":
    main()
