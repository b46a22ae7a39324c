"""What the two services answer: one method an operation, named as AWS names it."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.fake_aws.queue import Queue, Wanted
from benchmarks.fake_aws.refusal import Refusal
from benchmarks.fake_aws.table import Table

Request = dict[str, Any]
Answer = dict[str, Any]

_ACCOUNT_ID = "000000000000"
_REGION = "us-east-1"
_LARGEST_BATCH = 10
_LARGEST_REQUEST_BYTES = 1_048_576
_LARGEST_WRITE_BATCH = 25
_LARGEST_READ_BATCH = 100
_DEFAULT_VISIBILITY = "30"


class Sqs:
    """Standard queues by name."""

    prefix = "AmazonSQS"

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self.queues: dict[str, Queue] = {}
        self._attributes: dict[str, dict[str, str]] = {}

    def CreateQueue(self, request: Request) -> Answer:  # noqa: N802 — AWS's name, as the request carries it
        name = request["QueueName"]
        if name not in self.queues:
            self.queues[name] = Queue(name, self._loop)
            self._attributes[name] = {"VisibilityTimeout": _DEFAULT_VISIBILITY} | (request.get("Attributes") or {})
        return {"QueueUrl": self._url(name)}

    def GetQueueUrl(self, request: Request) -> Answer:  # noqa: N802
        return {"QueueUrl": self._url(self._named(request["QueueName"]).name)}

    def ListQueues(self, request: Request) -> Answer:  # noqa: N802
        prefix = request.get("QueueNamePrefix") or ""
        return {"QueueUrls": [self._url(name) for name in self.queues if name.startswith(prefix)]}

    def GetQueueAttributes(self, request: Request) -> Answer:  # noqa: N802
        queue = self._queue(request)
        known = self._attributes[queue.name] | {
            "QueueArn": f"arn:aws:sqs:{_REGION}:{_ACCOUNT_ID}:{queue.name}",
            "ApproximateNumberOfMessages": str(queue.visible),
            "ApproximateNumberOfMessagesNotVisible": str(queue.held),
            "ApproximateNumberOfMessagesDelayed": str(queue.delayed),
        }
        wanted = request.get("AttributeNames") or []
        return {"Attributes": known if "All" in wanted else {name: value for name, value in known.items() if name in wanted}}

    def PurgeQueue(self, request: Request) -> Answer:  # noqa: N802
        self._queue(request).purge()
        return {}

    def SendMessage(self, request: Request) -> Answer:  # noqa: N802
        queue = self._queue(request)
        answer = self._send(queue, request)
        queue.wake()
        return answer

    def SendMessageBatch(self, request: Request) -> Answer:  # noqa: N802
        queue = self._queue(request)
        answer = self._batch(request, partial(self._send, queue))
        queue.wake()
        return answer

    def ReceiveMessage(self, request: Request) -> "Answer | asyncio.Future[Answer]":  # noqa: N802
        queue = self._queue(request)
        visibility = request.get("VisibilityTimeout")
        if visibility is None:
            visibility = self._attributes[queue.name]["VisibilityTimeout"]
        wanted = Wanted(most=request.get("MaxNumberOfMessages", 1), visibility_seconds=float(visibility))
        return queue.receive(wanted, request.get("WaitTimeSeconds") or 0)

    def DeleteMessage(self, request: Request) -> Answer:  # noqa: N802
        self._queue(request).delete(request["ReceiptHandle"])
        return {}

    def DeleteMessageBatch(self, request: Request) -> Answer:  # noqa: N802
        queue = self._queue(request)
        return self._batch(request, lambda entry: queue.delete(entry["ReceiptHandle"]))

    def ChangeMessageVisibility(self, request: Request) -> Answer:  # noqa: N802
        self._queue(request).change_visibility(request["ReceiptHandle"], request["VisibilityTimeout"])
        return {}

    def ChangeMessageVisibilityBatch(self, request: Request) -> Answer:  # noqa: N802
        queue = self._queue(request)
        return self._batch(request, lambda entry: queue.change_visibility(entry["ReceiptHandle"], entry["VisibilityTimeout"]))

    # -- parts ----------------------------------------------------------------------------------------------------

    def _url(self, name: str) -> str:
        return f"{self._endpoint}/{_ACCOUNT_ID}/{name}"

    def _queue(self, request: Request) -> Queue:
        return self._named(request["QueueUrl"].rsplit("/", 1)[-1])

    def _named(self, name: str) -> Queue:
        try:
            return self.queues[name]
        except KeyError:
            raise Refusal("com.amazonaws.sqs#QueueDoesNotExist", f"The queue {name!r} does not exist.") from None

    @staticmethod
    def _send(queue: Queue, entry: Request) -> Answer:
        if len(entry["MessageBody"]) > _LARGEST_REQUEST_BYTES:
            raise Refusal("com.amazonaws.sqs#InvalidMessageContents", "The message is larger than 1 MiB.")
        message = queue.send(entry["MessageBody"], entry.get("MessageAttributes"), entry.get("DelaySeconds") or 0)
        return {"MessageId": message.id, "MD5OfMessageBody": message.body_md5}

    @staticmethod
    def _batch(request: Request, act: Callable[[Request], Answer | None]) -> Answer:
        entries = request["Entries"]
        if not 1 <= len(entries) <= _LARGEST_BATCH:
            raise Refusal("com.amazonaws.sqs#TooManyEntriesInBatchRequest", f"expected 1 to 10 entries, got {len(entries)}")
        if len({entry["Id"] for entry in entries}) != len(entries):
            raise Refusal("com.amazonaws.sqs#BatchEntryIdsNotDistinct", "Two entries have the same Id.")
        if sum(len(entry.get("MessageBody", "")) for entry in entries) > _LARGEST_REQUEST_BYTES:
            raise Refusal("com.amazonaws.sqs#BatchRequestTooLong", "The batch is larger than 1 MiB.")
        successful: list[Answer] = []
        failed: list[Answer] = []
        for entry in entries:
            try:
                successful.append({"Id": entry["Id"]} | (act(entry) or {}))
            except Refusal as refusal:
                failed.append({"Id": entry["Id"], "SenderFault": True, "Code": refusal.code.split("#")[-1], "Message": refusal.message})
        return {"Successful": successful, "Failed": failed}


class DynamoDb:
    """Tables by name."""

    prefix = "DynamoDB_20120810"

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}

    def CreateTable(self, request: Request) -> Answer:  # noqa: N802
        name = request["TableName"]
        self.tables.setdefault(name, Table(name, [key["AttributeName"] for key in request["KeySchema"]]))
        return {"TableDescription": self._description(self.tables[name])}

    def DescribeTable(self, request: Request) -> Answer:  # noqa: N802
        return {"Table": self._description(self._table(request["TableName"]))}

    def DescribeTimeToLive(self, request: Request) -> Answer:  # noqa: N802
        self._table(request["TableName"])
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}

    def UpdateTimeToLive(self, request: Request) -> Answer:  # noqa: N802
        self._table(request["TableName"])
        return {"TimeToLiveSpecification": request["TimeToLiveSpecification"]}

    def PutItem(self, request: Request) -> Answer:  # noqa: N802
        before = self._table(request["TableName"]).put(request)
        return {"Attributes": before} if before and request.get("ReturnValues") == "ALL_OLD" else {}

    def GetItem(self, request: Request) -> Answer:  # noqa: N802
        item = self._table(request["TableName"]).get(request["Key"])
        return {"Item": item} if item else {}

    def UpdateItem(self, request: Request) -> Answer:  # noqa: N802
        item = self._table(request["TableName"]).update(request)
        return {"Attributes": item} if request.get("ReturnValues", "NONE") != "NONE" else {}

    def DeleteItem(self, request: Request) -> Answer:  # noqa: N802
        self._table(request["TableName"]).delete(request)
        return {}

    def BatchGetItem(self, request: Request) -> Answer:  # noqa: N802
        wanted = {name: keys["Keys"] for name, keys in request["RequestItems"].items()}
        self._bound(sum(map(len, wanted.values())), _LARGEST_READ_BATCH)
        found = {name: [item for key in keys if (item := self._table(name).get(key))] for name, keys in wanted.items()}
        return {"Responses": found, "UnprocessedKeys": {}}

    def BatchWriteItem(self, request: Request) -> Answer:  # noqa: N802
        writes: dict[str, list[Request]] = request["RequestItems"]
        self._bound(sum(map(len, writes.values())), _LARGEST_WRITE_BATCH)
        for name, requests in writes.items():
            table = self._table(name)
            for write in requests:
                if "PutRequest" in write:
                    table.put(write["PutRequest"])
                else:
                    table.delete(write["DeleteRequest"])
        return {"UnprocessedItems": {}}

    # -- parts ----------------------------------------------------------------------------------------------------

    def _table(self, name: str) -> Table:
        try:
            return self.tables[name]
        except KeyError:
            raise Refusal("com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", f"There is no table {name!r}.") from None

    @staticmethod
    def _description(table: Table) -> Answer:
        return {
            "TableName": table.name,
            "TableStatus": "ACTIVE",
            "KeySchema": [{"AttributeName": name, "KeyType": "HASH"} for name in table.key_attributes],
            "ItemCount": len(table),
        }

    @staticmethod
    def _bound(entries: int, most: int) -> None:
        if not 1 <= entries <= most:
            raise Refusal("com.amazon.coral.validate#ValidationException", f"expected 1 to {most} entries, got {entries}")
