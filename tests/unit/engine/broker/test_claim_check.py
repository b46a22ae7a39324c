"""Large bodies go to S3, encrypted, and nothing but our own bodies is read or deleted."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.engine.broker import claim_check as module
from app.engine.broker.claim_check import AWAY_SECONDS, BodyOutOfReach, ClaimChecks, ClaimRefused
from app.engine.broker.options import LARGEST_MESSAGE_BYTES, ClaimCheckOptions
from tests.unit.engine.broker.fake_s3 import FakeS3
from tests.unit.engine.broker.fake_sqs import connection_refused

BUCKET = "artifacts"


def checks(s3: FakeS3 | None = None, **options: Any) -> ClaimChecks:
    return ClaimChecks(ClaimCheckOptions(bucket=BUCKET, **options), lambda: s3 or FakeS3())


# -- which bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "is_needed"),
    [
        ("x" * 100, False),
        ("x" * 101, True),
        ("é" * 50, False),
        ("é" * 51, True),
        ("😀" * 25, False),
        ("😀" * 26, True),
        ("\ud800" * 34, True),
    ],
    ids=["100 letters", "101 letters", "100 bytes", "102 bytes", "emoji, 100", "emoji, 104", "half a pair, 102"],
)
def test_a_body_is_large_by_its_bytes_and_not_by_its_characters(body: str, is_needed: bool) -> None:
    assert checks(larger_than_bytes=100).is_needed(body, 0) is is_needed


@pytest.mark.parametrize(("message_bytes", "is_needed"), [(200, False), (201, True)])
def test_a_small_body_that_makes_a_large_message_is_large_too(message_bytes: int, is_needed: bool) -> None:
    assert checks(larger_than_bytes=100).is_needed("x" * 100, message_bytes) is is_needed


@pytest.mark.parametrize("larger_than_bytes", [LARGEST_MESSAGE_BYTES // 2, LARGEST_MESSAGE_BYTES])
def test_whatever_the_threshold_no_message_exceeds_what_sqs_takes(larger_than_bytes: int) -> None:
    claims = checks(larger_than_bytes=larger_than_bytes)

    assert not claims.is_needed("x", LARGEST_MESSAGE_BYTES)
    assert claims.is_needed("x", LARGEST_MESSAGE_BYTES + 1)


# -- put and get --------------------------------------------------------------------------------------------------------------


def test_what_was_put_is_read_by_its_claim_and_gone_after_its_delete() -> None:
    s3 = FakeS3()
    claims = checks(s3)
    claim = claims.put("grüße", "reports", "id-1")

    assert claims.get(claim) == "grüße"
    claims.delete(claim["key"])
    assert s3.objects == {}


def test_a_body_is_found_by_queue_day_and_task_and_never_overwrites_another() -> None:
    s3 = FakeS3()
    claims = checks(s3, prefix="bodies/")

    first, second = (claims.put("{}", "reports", "id-1") for _ in range(2))

    assert first["bucket"] == BUCKET
    assert first["key"].startswith("bodies/reports/20")
    assert "/id-1-" in first["key"]
    assert first["key"] != second["key"]


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        (None, {"ServerSideEncryption": "AES256"}),
        ("alias/millrace", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/millrace"}),
    ],
)
def test_a_body_is_encrypted_by_the_key_that_was_named_or_by_s3_s_own(key: str | None, arguments: dict[str, str]) -> None:
    s3 = FakeS3()
    checks(s3, kms_key_id=key).put("{}", "reports", "id-1")

    (request,) = s3.puts
    assert {name: value for name, value in request.items() if name.startswith(("Server", "SSE"))} == arguments
    assert request["ContentType"] == "application/json"


def test_a_put_that_fails_is_told_to_the_sender() -> None:
    s3 = FakeS3()
    s3.error = connection_refused()

    with pytest.raises(type(s3.error)):
        checks(s3).put("{}", "reports", "id-1")


# -- what is refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim",
    [
        {"bucket": "somebody-elses", "key": "claim-checks/x"},
        {"key": "claim-checks/x"},
        {"bucket": BUCKET, "key": "invoices/x"},
        {"bucket": BUCKET, "key": ""},
        {"bucket": BUCKET, "key": 7},
        {"bucket": BUCKET},
        "claim-checks/x",
        None,
    ],
    ids=["other bucket", "no bucket", "other prefix", "empty key", "number", "no key", "text", "nothing"],
)
def test_a_claim_to_what_is_no_body_of_ours_is_refused_before_anything_is_read(claim: Any) -> None:
    s3 = FakeS3()
    s3.objects = {("somebody-elses", "claim-checks/x"): b"{}", (BUCKET, "invoices/x"): b"{}"}

    with pytest.raises(ClaimRefused):
        checks(s3).get(claim)
    assert s3.reads == []


def test_a_body_that_is_no_text_is_refused() -> None:
    s3 = FakeS3()
    s3.objects[BUCKET, "claim-checks/x"] = b"\xff"

    with pytest.raises(ClaimRefused, match="UTF-8"):
        checks(s3).get({"bucket": BUCKET, "key": "claim-checks/x"})
    assert s3.reads[0].closed


def test_a_body_without_end_is_not_read_and_its_connection_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BODY_BYTES", 10)
    s3 = FakeS3()
    s3.objects = {(BUCKET, "claim-checks/fits"): b"0123456789", (BUCKET, "claim-checks/large"): b"0123456789x"}

    assert checks(s3).get({"bucket": BUCKET, "key": "claim-checks/fits"}) == "0123456789"
    with pytest.raises(ClaimRefused, match="11 bytes; 10"):
        checks(s3).get({"bucket": BUCKET, "key": "claim-checks/large"})
    assert s3.reads[1].closed


def test_a_body_that_cannot_be_deleted_is_left_to_the_lifecycle(caplog: pytest.LogCaptureFixture) -> None:
    s3 = FakeS3()
    s3.error = connection_refused()

    with caplog.at_level("INFO"):
        checks(s3).delete("claim-checks/x")

    assert "claim check not deleted" in caplog.messages


# -- S3 is away ---------------------------------------------------------------------------------------------------------------


def test_an_s3_that_did_not_answer_is_not_asked_again_for_some_seconds() -> None:
    s3, now = FakeS3(), [0.0]
    claims = ClaimChecks(ClaimCheckOptions(bucket=BUCKET), lambda: s3, clock=lambda: now[0])
    claim = claims.put("{}", "reports", "id-1")
    s3.error = connection_refused()
    with pytest.raises(BodyOutOfReach):
        claims.get(claim)
    s3.error = None

    now[0] = AWAY_SECONDS - 0.1
    with pytest.raises(BodyOutOfReach):
        claims.get(claim)
    now[0] = AWAY_SECONDS
    assert claims.get(claim) == "{}"


def test_an_object_that_is_missing_says_nothing_about_the_others() -> None:
    s3 = FakeS3()
    claims = checks(s3)
    claim = claims.put("{}", "reports", "id-1")

    with pytest.raises(ClientError, match="NoSuchKey"):
        claims.get(claim | {"key": "claim-checks/gone"})
    assert claims.get(claim) == "{}"
