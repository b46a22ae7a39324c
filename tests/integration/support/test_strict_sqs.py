"""The AWS of the tests is as unkind as AWS may be, and only as broken as a test wants it."""

import itertools
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.environment import REGION
from tests.support.eventually import eventually
from tests.support.faults import Fault, Network
from tests.support.strict_sqs import NO_HABITS, Habits, StrictSqs

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

ALWAYS = 1.0
_numbers = itertools.count(1)


class Aws:
    """A port, a client of it and a queue of its own."""

    def __init__(self, network: StrictSqs) -> None:
        self.network = network
        self.sqs: SQSClient = self.client("sqs")
        self.name = f"queue-{next(_numbers)}"
        self.queue = self.sqs.create_queue(QueueName=self.name, Attributes={"VisibilityTimeout": "30"})["QueueUrl"]

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.network.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            # One call is one request, and what the SDK would refuse itself is for AWS to refuse.
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=2, parameter_validation=False),
        )

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def receive(self, count: int = 1, **options: Any) -> list[Any]:
        return list(self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=count, **options).get("Messages", []))

    def receive_one(self, **options: Any) -> Any:
        (message,) = self.receive(WaitTimeSeconds=1, **options)
        return message

    def delete(self, message: Any) -> None:
        self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])

    def keep(self, message: Any, seconds: int) -> None:
        self.sqs.change_message_visibility(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds)

    def depth(self) -> int:
        """Of the queue, whatever the messages' state."""
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        return sum(int(value) for name, value in attributes.items() if name.startswith("ApproximateNumberOfMessages"))


Open = Callable[[Habits], Aws]


@pytest.fixture
def open_aws(_strict_sqs: str) -> Iterator[Open]:
    ports = []

    def make(habits: Habits) -> Aws:
        ports.append(StrictSqs(_strict_sqs, seed=1, habits=habits))
        return Aws(ports[-1])

    yield make
    for port in ports:
        port.close()


@pytest.fixture
def aws_at_rest(open_aws: Open) -> Aws:
    """Strict, without habits."""
    return open_aws(NO_HABITS)


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return raised.value.response["Error"]["Code"]


# -- receipt handles ----------------------------------------------------------------------------------------------


def test_the_latest_receipt_handle_deletes(aws_at_rest: Aws) -> None:
    aws_at_rest.send("x")

    aws_at_rest.delete(aws_at_rest.receive_one())

    assert aws_at_rest.depth() == 0


def test_an_old_receipt_handle_is_answered_with_success_and_deletes_nothing(aws_at_rest: Aws) -> None:
    aws_at_rest.send("x")
    old, new = aws_at_rest.receive_one(VisibilityTimeout=0), aws_at_rest.receive_one()

    aws_at_rest.delete(old)
    answer = aws_at_rest.sqs.delete_message_batch(QueueUrl=aws_at_rest.queue, Entries=[{"Id": "a", "ReceiptHandle": old["ReceiptHandle"]}])

    assert [entry["Id"] for entry in answer["Successful"]] == ["a"]
    assert aws_at_rest.depth() == 1
    aws_at_rest.delete(new)
    assert aws_at_rest.depth() == 0


def test_a_batch_deletes_what_it_has_the_latest_handle_of_and_nothing_else(aws_at_rest: Aws) -> None:
    aws_at_rest.send("old")
    old = aws_at_rest.receive_one(VisibilityTimeout=0)
    aws_at_rest.receive_one()
    aws_at_rest.send("held")
    handles = {"old": old["ReceiptHandle"], "held": aws_at_rest.receive_one()["ReceiptHandle"], "made-up": "abc"}

    answer = aws_at_rest.sqs.delete_message_batch(
        QueueUrl=aws_at_rest.queue, Entries=[{"Id": name, "ReceiptHandle": handle} for name, handle in handles.items()]
    )

    assert {entry["Id"] for entry in answer["Successful"]} == {"old", "held"}
    assert [(entry["Id"], entry["SenderFault"], entry["Code"]) for entry in answer["Failed"]] == [
        ("made-up", True, "ReceiptHandleIsInvalid")
    ]
    assert aws_at_rest.depth() == 1


def test_deleting_twice_succeeds(aws_at_rest: Aws) -> None:
    aws_at_rest.send("x")
    message = aws_at_rest.receive_one()
    for _ in range(2):
        aws_at_rest.delete(message)


def test_a_handle_received_at_one_port_is_old_at_the_other(open_aws: Open) -> None:
    one, other = open_aws(NO_HABITS), open_aws(NO_HABITS)
    other.queue = one.queue
    one.send("x")
    old = one.receive_one(VisibilityTimeout=0)
    other.receive_one()

    one.delete(old)

    assert one.depth() == 1


def test_the_visibility_of_a_held_message_can_be_changed(aws_at_rest: Aws) -> None:
    aws_at_rest.send("x")
    message = aws_at_rest.receive_one()

    aws_at_rest.keep(message, 20)
    aws_at_rest.keep(message, 0)

    assert aws_at_rest.receive_one()["MessageId"] == message["MessageId"]


def test_the_visibility_of_a_message_that_is_not_in_flight_cannot_be_changed(aws_at_rest: Aws) -> None:
    aws_at_rest.send("x")
    lapsed = aws_at_rest.receive_one(VisibilityTimeout=0)

    assert code_of(lambda: aws_at_rest.keep(lapsed, 20)) == "AWS.SimpleQueueService.MessageNotInflight"
    held = aws_at_rest.receive_one()
    assert code_of(lambda: aws_at_rest.keep(lapsed, 20)) == "InvalidParameterValue"
    assert code_of(lambda: aws_at_rest.keep({"ReceiptHandle": "abc"}, 20)) == "ReceiptHandleIsInvalid"
    answer = aws_at_rest.sqs.change_message_visibility_batch(
        QueueUrl=aws_at_rest.queue,
        Entries=[
            {"Id": name, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 20}
            for name, message in {"old": lapsed, "held": held}.items()
        ],
    )
    assert [entry["Id"] for entry in answer["Successful"]] == ["held"]
    assert [(entry["Id"], entry["SenderFault"]) for entry in answer["Failed"]] == [("old", True)]


def test_a_lapse_follows_the_queue_s_own_visibility_timeout_also_when_it_is_changed(aws_at_rest: Aws) -> None:
    aws_at_rest.send("x")
    aws_at_rest.keep(aws_at_rest.receive_one(), 0)
    aws_at_rest.sqs.set_queue_attributes(QueueUrl=aws_at_rest.queue, Attributes={"VisibilityTimeout": "0"})

    message = aws_at_rest.receive_one()

    assert code_of(lambda: aws_at_rest.keep(message, 20)) == "AWS.SimpleQueueService.MessageNotInflight"


# -- habits -------------------------------------------------------------------------------------------------------


def _only(**habits: float) -> Habits:
    return Habits(**{"duplicates": 0, "lost_receives": 0, "late_sends": 0, "short_receives": 0, "shuffle": False} | habits)  # type: ignore[arg-type]


def test_a_duplicate_is_the_same_message_and_comes_although_the_first_delivery_was_deleted(open_aws: Open) -> None:
    aws = open_aws(_only(duplicates=ALWAYS))
    aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="x", MessageAttributes={"a": {"DataType": "String", "StringValue": "b"}})
    first = aws.receive_one(MessageAttributeNames=["All"])
    aws.delete(first)

    (second,) = eventually(lambda: aws.receive(MessageAttributeNames=["All"]))

    assert all(first[name] == second[name] for name in ("MessageId", "Body", "MessageAttributes"))
    assert first["ReceiptHandle"] != second["ReceiptHandle"]
    aws.delete(second)
    assert aws.depth() == 0


def test_a_duplicate_comes_while_the_first_delivery_is_held_and_takes_its_lease(open_aws: Open) -> None:
    aws = open_aws(_only(duplicates=ALWAYS))
    aws.send("x")
    first = aws.receive_one()
    aws.keep(first, 30)

    (second,) = eventually(aws.receive)

    aws.delete(first)
    assert code_of(lambda: aws.keep(first, 30)) == "InvalidParameterValue"
    assert aws.depth() == 1
    aws.delete(second)
    assert aws.depth() == 0


def test_nothing_is_delivered_a_third_time(open_aws: Open) -> None:
    aws = open_aws(_only(duplicates=ALWAYS))
    aws.send("x")
    aws.receive_one()
    eventually(aws.receive)

    assert aws.receive(WaitTimeSeconds=1) == []
    assert aws.depth() == 1


def test_a_share_of_the_messages_is_delivered_twice(open_aws: Open) -> None:
    aws = open_aws(_only(duplicates=0.1))
    sent = 200
    for _ in range(sent // 10):
        entries = [{"Id": str(position), "MessageBody": "x"} for position in range(10)]
        aws.sqs.send_message_batch(QueueUrl=aws.queue, Entries=entries)  # type: ignore[arg-type] # a list of dictionaries
    received: list[str] = []

    def is_drained() -> bool:
        for message in aws.receive(10):
            received.append(message["MessageId"])
            aws.delete(message)
        return aws.depth() == 0

    eventually(is_drained, within=60)
    assert len(set(received)) == sent
    assert sent * 1.03 < len(received) < sent * 1.2


def test_a_lost_answer_hides_its_messages_for_a_while(open_aws: Open) -> None:
    aws = open_aws(_only(lost_receives=ALWAYS, lost_for_seconds=1))
    aws.send("x")
    with pytest.raises(BotoCoreError):
        aws.receive()
    aws.network.habits(lost_receives=0)

    assert aws.receive() == []
    assert eventually(aws.receive)


def test_an_empty_answer_is_not_lost(open_aws: Open) -> None:
    assert open_aws(_only(lost_receives=ALWAYS)).receive() == []


def test_a_late_send_is_visible_a_second_later_unless_it_has_a_delay_of_its_own(open_aws: Open) -> None:
    aws = open_aws(_only(late_sends=ALWAYS))
    aws.sqs.send_message_batch(
        QueueUrl=aws.queue, Entries=[{"Id": "late", "MessageBody": "late"}, {"Id": "now", "MessageBody": "now", "DelaySeconds": 0}]
    )

    assert [message["Body"] for message in aws.receive(10)] == ["now"]
    assert [message["Body"] for message in eventually(aws.receive)] == ["late"]


def test_a_receive_comes_in_any_order_and_may_return_fewer_messages_than_there_are(open_aws: Open) -> None:
    aws = open_aws(_only(shuffle=True))
    bodies = [str(number) for number in range(10)]
    aws.send(*bodies)
    shuffled = [message["Body"] for message in aws.receive(10, VisibilityTimeout=0)]
    aws.network.habits(short_receives=ALWAYS)

    assert shuffled != bodies
    assert sorted(shuffled) == bodies
    assert 1 <= len(aws.receive(10, VisibilityTimeout=0)) < 10


# -- limits -------------------------------------------------------------------------------------------------------


def _entries(count: int, **changes: Any) -> list[Any]:
    return [{"Id": str(position), "MessageBody": "x", **changes} for position in range(count)]


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "EmptyBatchRequest"),
        (_entries(11), "TooManyEntriesInBatchRequest"),
        (_entries(2, Id="same"), "BatchEntryIdsNotDistinct"),
        (_entries(1, Id="a.b"), "InvalidBatchEntryId"),
        (_entries(10, MessageBody="ä" * 53_000), "BatchRequestTooLong"),
    ],
)
def test_a_batch_has_aws_s_limits(aws_at_rest: Aws, entries: list[Any], code: str) -> None:
    def send() -> Any:
        return aws_at_rest.sqs.send_message_batch(QueueUrl=aws_at_rest.queue, Entries=entries)

    assert code_of(send) == f"AWS.SimpleQueueService.{code}"
    assert aws_at_rest.depth() == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DelaySeconds": 901}, "InvalidParameterValue"),
        ({"MessageBody": "a\x08b"}, "InvalidMessageContents"),
        (
            {"MessageAttributes": {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(11)}},
            "InvalidParameterValue",
        ),
        ({"MessageBody": ""}, "MissingParameter"),
    ],
)
def test_a_message_has_aws_s_limits_and_in_a_batch_its_neighbours_are_sent(aws_at_rest: Aws, changes: Any, code: str) -> None:
    message: Any = {"MessageBody": "x", **changes}

    assert code_of(lambda: aws_at_rest.sqs.send_message(QueueUrl=aws_at_rest.queue, **message)) == code
    entries: list[Any] = [{"Id": "bad", **message}, *_entries(1)]
    answer = aws_at_rest.sqs.send_message_batch(QueueUrl=aws_at_rest.queue, Entries=entries)

    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]] == [("bad", code, True)]
    assert [entry["Id"] for entry in answer["Successful"]] == ["0"]
    assert aws_at_rest.depth() == 1


@pytest.mark.parametrize("options", [{"WaitTimeSeconds": 21}, {"VisibilityTimeout": 43_201}, {"count": 11}, {"count": 0}])
def test_a_receive_has_aws_s_limits(aws_at_rest: Aws, options: Any) -> None:
    assert code_of(lambda: aws_at_rest.receive(**options)) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("operation", "more"), [("delete_message_batch", {}), ("change_message_visibility_batch", {"VisibilityTimeout": 1})]
)
def test_every_kind_of_batch_has_at_most_ten_entries(aws_at_rest: Aws, operation: str, more: dict[str, int]) -> None:
    entries = [{"Id": str(position), "ReceiptHandle": "abc", **more} for position in range(11)]

    def settle() -> Any:
        return getattr(aws_at_rest.sqs, operation)(QueueUrl=aws_at_rest.queue, Entries=entries)

    assert code_of(settle) == "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"


# -- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.UNAVAILABLE, 503, "ServiceUnavailable"),
        (Fault.ERROR, 500, "InternalError"),
        (Fault.THROTTLED, 400, "RequestThrottled"),
        (Fault.DENIED, 403, "AccessDenied"),
        (Fault.EXPIRED, 403, "ExpiredToken"),
    ],
)
def test_an_operation_fails_as_the_test_asks_and_others_go_on(aws_at_rest: Aws, fault: Fault, status: int, code: str) -> None:
    aws_at_rest.network.fail("SendMessage", fault)
    with pytest.raises(ClientError) as raised:
        aws_at_rest.send("x")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert raised.value.response["Error"]["Code"] == code
    assert aws_at_rest.depth() == 0

    aws_at_rest.network.heal()
    aws_at_rest.send("x")
    assert aws_at_rest.depth() == 1


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.SILENT, Fault.REFUSED])
def test_a_request_that_gets_no_answer_is_not_done(aws_at_rest: Aws, fault: Fault) -> None:
    aws_at_rest.network.fail(None, fault)
    with pytest.raises(BotoCoreError):
        aws_at_rest.send("x")

    aws_at_rest.network.heal()
    assert aws_at_rest.depth() == 0


def test_a_request_whose_answer_is_lost_is_done(aws_at_rest: Aws) -> None:
    aws_at_rest.network.fail("SendMessage", Fault.LOST_ANSWER)
    with pytest.raises(BotoCoreError):
        aws_at_rest.send("x")

    assert aws_at_rest.depth() == 1


def test_a_slow_network_takes_its_time(aws_at_rest: Aws) -> None:
    aws_at_rest.network.fail("SendMessage", Fault.SLOW, seconds=0.5)
    began = time.monotonic()
    aws_at_rest.send("x")

    assert 0.5 <= time.monotonic() - began < 5


def test_garbage_is_a_page_of_html_with_status_200(aws_at_rest: Aws) -> None:
    aws_at_rest.network.fail(None, Fault.GARBAGE)
    request = urllib.request.Request(  # noqa: S310 — our own address
        aws_at_rest.network.url, data=b"{}", headers={"X-Amz-Target": "AmazonSQS.ReceiveMessage"}
    )

    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
        assert answer.read().startswith(b"<html>")


def test_a_fault_with_a_probability_hits_a_share(aws_at_rest: Aws) -> None:
    aws_at_rest.network.fail(None, Fault.ERROR, probability=0.3)

    def is_failure() -> bool:
        try:
            aws_at_rest.sqs.get_queue_url(QueueName=aws_at_rest.name)
        except ClientError:
            return True
        return False

    assert 15 <= sum(is_failure() for _ in range(100)) <= 45


def test_other_services_pass_until_they_are_named(aws_at_rest: Aws) -> None:
    dynamodb = aws_at_rest.client("dynamodb")
    aws_at_rest.network.fail(None, Fault.ERROR)
    dynamodb.list_tables()
    aws_at_rest.network.fail("DynamoDB.*", Fault.THROTTLED)

    assert code_of(dynamodb.list_tables) == "ThrottlingException"
    s3 = aws_at_rest.client("s3")
    s3.create_bucket(Bucket=aws_at_rest.name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=aws_at_rest.name, Key="k", Body=b"x" * 100_000)
    assert s3.get_object(Bucket=aws_at_rest.name, Key="k")["Body"].read() == b"x" * 100_000
    assert aws_at_rest.client("sts").get_caller_identity()["Account"]


def test_a_dynamodb_that_does_batches_partly_leaves_their_second_half(aws_at_rest: Aws) -> None:
    dynamodb, table = aws_at_rest.client("dynamodb"), aws_at_rest.name
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    puts = [{"PutRequest": {"Item": {"id": {"S": str(number)}}}} for number in range(5)]
    aws_at_rest.network.fail("DynamoDB.Batch*", Fault.PARTLY)

    written = dynamodb.batch_write_item(RequestItems={table: puts})
    read = dynamodb.batch_get_item(RequestItems={table: {"Keys": [{"id": {"S": str(number)}} for number in (0, 1, 4)]}})

    assert written["UnprocessedItems"] == {table: puts[3:]}
    assert sorted(item["id"]["S"] for item in read["Responses"][table]) == ["0", "1"]
    assert read["UnprocessedKeys"] == {table: {"Keys": [{"id": {"S": "4"}}]}}
    assert dynamodb.scan(TableName=table)["Count"] == 3


@pytest.mark.parametrize("state", [Network.REFUSED, Network.SILENT])
def test_a_network_that_is_away_is_away_for_every_service_and_comes_back(aws_at_rest: Aws, state: Network) -> None:
    calls = [aws_at_rest.client("s3").list_buckets, aws_at_rest.client("dynamodb").list_tables, aws_at_rest.sqs.list_queues]
    for call in calls:
        call()
    aws_at_rest.network.become(state)
    for call in calls:
        with pytest.raises(BotoCoreError):
            call()

    aws_at_rest.network.become(Network.HEALTHY)
    for call in calls:
        call()


def test_a_poll_that_waits_when_the_network_goes_silent_hangs_until_it_heals(aws_at_rest: Aws) -> None:
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(aws_at_rest.receive, WaitTimeSeconds=1)
        eventually(aws_at_rest.network.open_requests, 1)
        aws_at_rest.network.become(Network.SILENT)
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > 1.3)
        assert not poll.done()
        aws_at_rest.network.heal()

        with pytest.raises(BotoCoreError):
            poll.result(timeout=0.5)
    assert [(request.operation, request.status) for request in aws_at_rest.network.requests()][-1] == ("ReceiveMessage", 0)


# -- connections and the log --------------------------------------------------------------------------------------


def test_a_long_poll_holds_up_nobody(aws_at_rest: Aws) -> None:
    with ThreadPoolExecutor(8) as pool:
        polls = [pool.submit(aws_at_rest.receive, WaitTimeSeconds=1) for _ in range(8)]
        began = time.monotonic()
        aws_at_rest.depth()
        took = time.monotonic() - began
        assert all(poll.result() == [] for poll in polls)

    assert took < 0.9


def test_a_message_is_not_given_to_a_poll_whose_client_is_gone(aws_at_rest: Aws) -> None:
    with pytest.raises(BotoCoreError):  # the client waits for 2 s
        aws_at_rest.receive(WaitTimeSeconds=20)
    gone_at = time.monotonic()
    eventually(lambda: time.monotonic() - gone_at > 1.2)  # the local AWS looks around once a second
    aws_at_rest.send("x")

    assert aws_at_rest.receive(WaitTimeSeconds=1)


def test_a_message_is_not_given_to_a_poll_that_was_reset(aws_at_rest: Aws) -> None:
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(aws_at_rest.receive, WaitTimeSeconds=20)
        eventually(aws_at_rest.network.open_requests, 1)
        aws_at_rest.network.become(Network.REFUSED)
        with pytest.raises(BotoCoreError):
            poll.result()
    aws_at_rest.network.heal()
    reset_at = time.monotonic()
    eventually(lambda: time.monotonic() - reset_at > 1.2)  # the local AWS looks around once a second
    aws_at_rest.send("x")

    assert aws_at_rest.receive(WaitTimeSeconds=1)


def test_requests_are_counted_by_operation_queue_and_messages(aws_at_rest: Aws) -> None:
    aws_at_rest.network.reset()
    began = time.monotonic()
    aws_at_rest.sqs.send_message_batch(QueueUrl=aws_at_rest.queue, Entries=_entries(3))
    aws_at_rest.receive(10)
    aws_at_rest.receive(10)
    aws_at_rest.network.fail(None, Fault.ERROR)
    code_of(aws_at_rest.receive)

    noted = aws_at_rest.network.requests()

    assert [(request.operation, request.queue, request.entries, request.status) for request in noted] == [
        ("SendMessageBatch", aws_at_rest.name, 3, 200),
        ("ReceiveMessage", aws_at_rest.name, 3, 200),
        ("ReceiveMessage", aws_at_rest.name, 0, 200),
        ("ReceiveMessage", aws_at_rest.name, 1, 500),
    ]
    assert began <= noted[0].at <= noted[1].at <= time.monotonic()
    aws_at_rest.network.reset()
    assert aws_at_rest.network.requests() == []


def test_a_queue_s_url_is_that_of_the_port_it_was_asked_at(aws_at_rest: Aws) -> None:
    assert aws_at_rest.queue.startswith(aws_at_rest.network.url)


def test_a_message_of_a_mebibyte_passes_unharmed(aws_at_rest: Aws) -> None:
    body = json.dumps("€" * 349_000, ensure_ascii=False)
    aws_at_rest.send(body)

    assert aws_at_rest.receive_one()["Body"] == body
