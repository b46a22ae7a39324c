"""SQS at the network's edge: takes the calls of boto3's client, notes them, answers what a test tells it to."""

import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from app.engine.aws.queue_urls import queue_url
from app.engine.broker.received import Received
from app.engine.conf import engine_settings

Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


def address(queue: str = "default") -> str:
    return queue_url(engine_settings(), queue)


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "AnyOperation")  # type: ignore[typeddict-item]


def connection_refused() -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url="http://sqs")


def failed(position: str, *, code: str = "InternalError", sender_fault: bool = False) -> dict[str, Any]:
    return {"Id": position, "Code": code, "Message": "no", "SenderFault": sender_fault}


def refusing(error: Exception) -> Answer:
    """SQS that answers nothing but this."""

    def answer(_operation: str, _request: dict[str, Any]) -> dict[str, Any]:
        raise error

    return answer


def raw(name: str, *, body: str = "{}", handle: str | None = None, receive_count: int = 1, **more: Any) -> dict[str, Any]:
    """A message as SQS gives it."""
    attributes = {"ApproximateReceiveCount": str(receive_count), "SentTimestamp": "1700000000000"}
    return {"MessageId": name, "ReceiptHandle": handle or f"{name}#{receive_count}", "Body": body, "Attributes": attributes} | more


def received(name: str, *, queue: str = "default", received_at: float = 0.0, url: str | None = None, **more: Any) -> Received:
    return Received(queue=queue, url=url or address(queue), raw=raw(name, **more), received_at=received_at)


class Clock:
    """Stands still until a test turns it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeSqs:
    """``answer`` decides about each call: it returns an answer, or raises what boto3 would raise."""

    def __init__(self, answer: Answer = lambda _operation, _request: {}) -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.visibility_timeouts = {
            queue_url(engine_settings(), queue.name): int(queue.visibility_timeout.total_seconds())
            for queue in engine_settings().topology.queues
        }

    def of(self, operation: str) -> list[dict[str, Any]]:
        return [request for name, request in list(self.calls) if name == operation]

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((operation, request))
        return self.answer(operation, request)

    def send_message(self, **request: Any) -> dict[str, Any]:
        return self._call("send_message", request)

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        return self._call("send_message_batch", request)

    def receive_message(self, **request: Any) -> dict[str, Any]:
        return self._call("receive_message", request)

    def change_message_visibility(self, **request: Any) -> dict[str, Any]:
        return self._call("change_message_visibility", request)

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        return self._call("change_message_visibility_batch", request)

    def delete_message(self, **request: Any) -> dict[str, Any]:
        return self._call("delete_message", request)

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        return self._call("delete_message_batch", request)

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        attributes = {"VisibilityTimeout": str(self.visibility_timeouts.get(request["QueueUrl"], 30))}
        return {"Attributes": attributes} | self._call("get_queue_attributes", request)


class Backlog:
    """Queues with messages in them. A poll of an empty one waits until a message comes, or the test ends the polls."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[dict[str, Any]] = []
        self.waiting: dict[str, int] = {}
        self._ended = 0
        self.error: Exception | None = None

    def put(self, url: str, *messages: dict[str, Any]) -> None:
        with self.changed:
            self.messages.setdefault(url, []).extend(messages)
            self.changed.notify_all()

    def end_polls(self) -> None:
        """As when the wait time is over."""
        with self.changed:
            self._ended += 1
            self.changed.notify_all()

    def left(self, url: str) -> int:
        return len(self.messages.get(url, ()))

    def polls_waiting(self, url: str) -> int:
        return self.waiting.get(url, 0)

    def receive_message(self, **request: Any) -> dict[str, Any]:
        url, most = request["QueueUrl"], request["MaxNumberOfMessages"]
        with self.changed:
            self.asked.append(request)
            if self.error is not None:
                raise self.error
            began = self._ended
            if request["WaitTimeSeconds"] > 1:
                self.waiting[url] = self.waiting.get(url, 0) + 1
                self.changed.wait_for(lambda: self.messages.get(url) or self._ended > began, 30)
                self.waiting[url] -= 1
            found = self.messages.get(url, [])
            taken = found[:most]
            del found[:most]
        return {"Messages": taken} if taken else {}
