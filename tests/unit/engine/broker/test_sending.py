"""From a message to the parameters of SendMessage."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.engine.broker.claim_check import HEADER, ClaimChecks
from app.engine.broker.errors import MessageTooLarge, UndefinedQueue
from app.engine.broker.options import LARGEST_MESSAGE_BYTES, BrokerOptions, ClaimCheckOptions, QueueOptions
from app.engine.broker.sending import Sender
from tests.unit.engine.broker.fake_s3 import FakeS3

QUEUES = {name: QueueOptions(name=name, url=f"https://sqs/1/{name}") for name in ("jobs", "jobs.high", "jobs.fifo")}


def sender(s3: FakeS3 | None = None, **options: Any) -> Sender:
    claims = ClaimChecks(ClaimCheckOptions(bucket="b", larger_than_bytes=1000), lambda: s3) if s3 is not None else None
    return Sender(BrokerOptions(queues=QUEUES, **options), lambda: None, claims)


def message(body: Any = "[]", properties: dict[str, Any] | None = None, **headers: Any) -> dict[str, Any]:
    return {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"id": "id", "task": "t"} | headers,
        "properties": {"delivery_info": {"routing_key": "jobs"}} | (properties or {}),
    }


def text(entry: dict[str, Any]) -> dict[str, Any]:
    envelope: dict[str, Any] = json.loads(entry["MessageBody"])
    return envelope


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_job_that_may_start_at_once_is_an_address_and_a_text() -> None:
    entry = sender().entry("jobs", message())

    assert set(entry) == {"QueueUrl", "MessageBody"}
    assert entry["QueueUrl"] == "https://sqs/1/jobs"


def test_a_queue_is_known_by_the_name_that_celery_gives_it() -> None:
    assert sender().entry("jobs.high", message())["QueueUrl"] == "https://sqs/1/jobs.high"


def test_a_queue_that_nobody_defined_is_refused_and_the_defined_ones_are_named() -> None:
    with pytest.raises(UndefinedQueue, match=r"'job'.*jobs, jobs\.fifo, jobs\.high"):
        sender().entry("job", message())


def test_a_body_of_bytes_is_text() -> None:
    assert text(sender().entry("jobs", message("grüße".encode())))["body"] == "grüße"


def test_what_the_caller_says_to_sqs_reaches_it() -> None:
    attributes = {"trace": {"DataType": "String", "StringValue": "x"}}

    entry = sender().entry("jobs", message(properties={"message_attributes": attributes, "MessageGroupId": 7}))

    assert (entry["MessageAttributes"], entry["MessageGroupId"]) == (attributes, "7")


def test_the_group_is_the_caller_s_or_else_the_tenant() -> None:
    tenants = sender(tenant_header="customer")

    assert tenants.entry("jobs", message(customer="acme"))["MessageGroupId"] == "acme"
    assert tenants.entry("jobs", message(properties={"MessageGroupId": "own"}, customer="acme"))["MessageGroupId"] == "own"
    assert "MessageGroupId" not in tenants.entry("jobs", message(tenant="acme"))


@pytest.mark.parametrize(("seconds", "delay"), [(-5, None), (100, 100), (5000, 900)])
def test_a_later_job_is_delayed_by_sqs_as_long_as_it_can(seconds: float, delay: int | None) -> None:
    asked = sender().entry("jobs", message(eta=in_seconds(seconds))).get("DelaySeconds")

    assert asked == delay or asked == (delay or 0) - 1


def test_the_longer_of_two_delays_counts_and_hops_may_be_shorter() -> None:
    assert sender().entry("jobs", message(properties={"DelaySeconds": 200}, eta=in_seconds(100)))["DelaySeconds"] == 200
    assert sender(longest_delay_seconds=3).entry("jobs", message(eta=in_seconds(100)))["DelaySeconds"] == 3


# -- FIFO queues --------------------------------------------------------------------------------------------------------------


def test_a_fifo_queue_takes_no_delay_and_wants_a_group() -> None:
    entry = sender().entry("jobs.fifo", message(eta=in_seconds(100)))

    assert "DelaySeconds" not in entry
    assert entry["MessageGroupId"] == "jobs.fifo"
    assert sender().entry("jobs.fifo", message(tenant="acme"))["MessageGroupId"] == "acme"


def deduplication_id(**headers: Any) -> str:
    identity: str = sender().entry("jobs.fifo", message(**headers))["MessageDeduplicationId"]
    return identity


def test_a_job_that_is_sent_twice_is_taken_once_by_a_fifo_queue_and_its_retry_is_another_message() -> None:
    assert deduplication_id() == deduplication_id(retries=0)
    assert (
        len({deduplication_id(), deduplication_id(retries=1), deduplication_id(replaced_task_nesting=1), deduplication_id(id="other")}) == 4
    )


def test_an_id_for_deduplication_is_one_that_sqs_takes() -> None:
    assert len(deduplication_id(id="é" * 255)) <= 128
    assert deduplication_id(id="é" * 255).isascii()
    assert deduplication_id(id=None) != deduplication_id(id=None)
    assert sender().entry("jobs.fifo", message(properties={"MessageDeduplicationId": "own"}))["MessageDeduplicationId"] == "own"


# -- size ---------------------------------------------------------------------------------------------------------------------


def test_a_large_body_goes_to_s3_and_the_message_carries_the_claim() -> None:
    s3 = FakeS3()

    small = text(sender(s3).entry("jobs", message("x" * 1000)))
    large = text(sender(s3).entry("jobs", message("x" * 1001)))

    assert (small["body"], HEADER in small["headers"]) == ("x" * 1000, False)
    assert large["body"] == ""
    assert s3.objects == {("b", large["headers"][HEADER]["key"]): b"x" * 1001}


def test_what_does_not_fit_is_refused_by_its_bytes_with_what_to_do() -> None:
    room = LARGEST_MESSAGE_BYTES - len(sender().entry("jobs", message(""))["MessageBody"])

    assert len(sender().entry("jobs", message("é" * (room // 2)))["MessageBody"].encode()) <= LARGEST_MESSAGE_BYTES
    with pytest.raises(MessageTooLarge, match=f"has {LARGEST_MESSAGE_BYTES + 1} bytes.*claim_check"):
        sender().entry("jobs", message("x" * (room + 1)))


def test_headers_that_do_not_fit_are_refused_although_the_body_is_in_s3() -> None:
    with pytest.raises(MessageTooLarge, match="not the headers"):
        sender(FakeS3()).entry("jobs", message("x" * 2000, note="x" * LARGEST_MESSAGE_BYTES))


def test_half_a_surrogate_pair_in_a_large_message_is_too_large_and_no_other_error() -> None:
    with pytest.raises(MessageTooLarge):
        sender().entry("jobs", message("\ud800" * LARGEST_MESSAGE_BYTES))


@pytest.mark.parametrize(("length", "may_be_large"), [(65536, False), (65537, True)])
def test_a_body_that_is_surely_small_needs_no_second_look(length: int, may_be_large: bool) -> None:
    assert sender().may_be_large("x" * length) is may_be_large


def test_with_a_claim_check_a_body_may_be_large_much_sooner() -> None:
    claims = sender(FakeS3())

    assert not claims.may_be_large("x" * 1000)
    assert claims.may_be_large("x" * 1001)
