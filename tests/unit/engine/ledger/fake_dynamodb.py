"""A DynamoDB in memory that reads conditions, for what must be decided by them; it may be away, and refuse."""

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from benchmarks.fake_aws.refusal import Refusal
from benchmarks.fake_aws.table import Table

TABLE = "ledger"
_MOST_BYTES = 400_000


def client_error(code: str, item: dict[str, Any] | None = None, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    if item is not None:
        response["Item"] = item
    return ClientError(response, "Operation")


class FakeDynamoDb:
    """``failing`` is raised by every call while it is set; ``unprocessed`` keys are left out of batches once."""

    def __init__(self) -> None:
        self.table = Table(TABLE, ["id"])
        self.calls: list[str] = []
        self.failing: Exception | None = None
        self.unprocessed: set[str] = set()
        self._lock = threading.Lock()

    def item(self, key: str) -> dict[str, Any]:
        return self.table.get({"id": {"S": key}}) or {}

    def update_item(self, **request: Any) -> dict[str, Any]:
        return {"Attributes": self._ask("update", lambda: self.table.update(request))}

    def update_items(self, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any] | Exception]:
        outcomes: list[dict[str, Any] | Exception] = []
        for request in requests:
            try:
                outcomes.append(self.update_item(**request))
            except Exception as error:  # noqa: BLE001 — as the wire does: the answer of one among several
                outcomes.append(error)
        return outcomes

    def put_item(self, **request: Any) -> dict[str, Any]:
        self._check_size([request["Item"]])
        self._ask("put", lambda: self.table.put(request))
        return {}

    def batch_write_item(self, **request: Any) -> dict[str, Any]:
        puts = [write["PutRequest"] for write in request["RequestItems"][TABLE]]

        def write() -> list[dict[str, Any]]:
            self._check_size(put["Item"] for put in puts)
            left = [put for put in puts if put["Item"]["id"]["S"] in self.unprocessed]
            self.unprocessed.difference_update(put["Item"]["id"]["S"] for put in left)
            for put in puts:
                if put not in left:
                    self.table.put(put)
            return [{"PutRequest": put} for put in left]

        left = self._ask(f"batch of {len(puts)}", write)
        return {"UnprocessedItems": {TABLE: left} if left else {}}

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        keys = request["RequestItems"][TABLE]["Keys"]

        def read() -> list[dict[str, Any]]:
            return [item for key in keys if (item := self.table.get(key)) is not None]

        return {"Responses": {TABLE: self._ask(f"get of {len(keys)}", read)}}

    @staticmethod
    def _check_size(items: Iterable[dict[str, Any]]) -> None:
        if any(len(str(item)) > _MOST_BYTES for item in items):
            raise client_error("ValidationException")

    def _ask(self, what: str, act: Any) -> Any:
        with self._lock:
            self.calls.append(what)
            if self.failing is not None:
                raise self.failing
            try:
                return act()
            except Refusal as refusal:
                raise client_error(refusal.code.split("#")[-1], refusal.item) from refusal
