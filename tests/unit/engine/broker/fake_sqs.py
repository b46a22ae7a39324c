"""SQS at the network's edge: takes the calls of boto3's client, notes them, answers what a test tells it to."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from app.engine.aws.queue_urls import queue_url
from app.engine.conf import engine_settings


def address(queue: str = "default") -> str:
    return queue_url(engine_settings(), queue)


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "AnyOperation")  # type: ignore[typeddict-item]


def connection_refused() -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url="http://sqs")


def failed(position: str, *, code: str = "InternalError", sender_fault: bool = False) -> dict[str, Any]:
    return {"Id": position, "Code": code, "Message": "no", "SenderFault": sender_fault}


class FakeSqs:
    """``answer`` decides about each call: it returns an answer, or raises what boto3 would raise."""

    def __init__(self, answer: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _operation, _request: {}) -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.visibility_timeouts = {
            queue_url(engine_settings(), queue.name): int(queue.visibility_timeout.total_seconds())
            for queue in engine_settings().topology.queues
        }

    def of(self, operation: str) -> list[dict[str, Any]]:
        return [request for name, request in self.calls if name == operation]

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((operation, request))
        return self.answer(operation, request)

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        return self._call("send_message_batch", request)

    def change_message_visibility(self, **request: Any) -> dict[str, Any]:
        return self._call("change_message_visibility", request)

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        return self._call("change_message_visibility_batch", request)

    def delete_message(self, **request: Any) -> dict[str, Any]:
        return self._call("delete_message", request)

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        return self._call("delete_message_batch", request)

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        attributes = {"VisibilityTimeout": str(self.visibility_timeouts[request["QueueUrl"]])}
        return {"Attributes": attributes} | self._call("get_queue_attributes", request)
