"""Arguments too large for a message: written to S3, run once, and gone afterwards; what goes wrong with it, and what then."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.integration.broker.fleet import Fleet
from tests.support.eventually import eventually
from tests.support.faults import Network
from tests.support.hostile import encoded, valid_message
from tests.support.strict_sqs import NO_HABITS, StrictSqs

PREFIX = "claim-checks/"
LARGE, HUGE = 600_000, 3_000_000


@pytest.fixture
def storing(fleet: Fleet, _strict_sqs: str) -> Fleet:
    """A fleet whose large bodies go to a bucket of its own, through a network of its own."""
    fleet.s3_network = StrictSqs(_strict_sqs, seed=1, habits=NO_HABITS)
    fleet.s3.create_bucket(Bucket=fleet.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    fleet.options["claim_check"] = {"bucket": fleet.bucket}
    return fleet


def dead_letters(fleet: Fleet, number: int, within: float = 20) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def look() -> int:
        found.extend(fleet.dead_letters())
        return len(found)

    eventually(look, number, within=within)
    return found


def claimed(bucket: object, key: object, job: int = 1) -> str:
    """A message of somebody's who names an object."""
    return encoded(valid_message(task="shop.note", args=[job], claim_check={"bucket": bucket, "key": key}))


def test_large_arguments_travel_encrypted_through_s3_run_once_and_leave_nothing(storing: Fleet) -> None:
    storing.ask(
        f"large, huge = 'é' * ({LARGE} // 2 - 1) + 'ß', 'a' * ({HUGE} - 1) + 'z'\n"
        "measure.delay(1, large)\n"
        "measure.delay(2, text=huge)\n"
        "group(measure.si(job, large if job % 2 else 'kurz') for job in range(10, 16)).apply_async()\n"
        "publish_many(measure, [[job, huge if job % 3 == 0 else 'kurz'] for job in range(20, 30)])\n"
        "chain(note.si(large).set(ignore_result=True), measure.si(3, large)).apply_async()\n"
    )

    keys = storing.objects()
    assert len(keys) == 2 + 3 + 3 + 1
    assert all(key.startswith(f"{PREFIX}jobs/") for key in keys)
    assert {storing.s3.head_object(Bucket=storing.bucket, Key=key)["ServerSideEncryption"] for key in keys} == {"AES256"}

    storing.start("-c", "2")
    wanted = {1, 2, 3, *range(10, 16), *range(20, 30)}
    eventually(lambda: {job for (job, *_), _ in storing.notes("measure")}, wanted, within=30)
    eventually(lambda: sum(storing.depth()), 0)
    assert eventually(storing.objects, []) == []
    measured = [seen for seen, _ in storing.notes("measure")]
    assert Counter(job for job, *_ in measured) == dict.fromkeys(wanted, 1)
    assert [3, LARGE // 2, "é", "ß"] in measured
    assert [2, HUGE, "a", "z"] in measured
    assert [10, 4, "k", "z"] in measured


def test_a_retry_carries_its_large_arguments_on(storing: Fleet) -> None:
    storing.start("-c", "1")
    storing.ask(f"retry.apply_async(('x' * {LARGE}, 2), ignore_result=True)")

    eventually(lambda: len(storing.notes("retry")), 3)
    eventually(lambda: sum(storing.depth()), 0)
    assert eventually(storing.objects, []) == []


def test_a_dead_letter_keeps_its_body_so_that_sending_it_back_runs_it(storing: Fleet) -> None:
    storing.start("-c", "1")
    storing.ask(f"fail.delay('x' * {LARGE})")
    (letter,) = dead_letters(storing, 1)
    eventually(lambda: sum(storing.depth()), 0)

    assert len(storing.objects()) == 1
    storing.sqs.send_message(QueueUrl=storing.url, MessageBody=letter["Body"])
    eventually(lambda: len(storing.notes("fail")), 2)


def test_a_parked_message_keeps_its_body(storing: Fleet) -> None:
    storing.ask(f"app.send_task('shop.of_tomorrow', ('x' * {LARGE},))")
    worker = storing.start("-c", "1")
    eventually(lambda: "unknown task parked" in worker.log.read_text(), bool)
    eventually(lambda: storing.depth()[1], 0)

    assert len(storing.objects()) == 1


def test_a_claim_on_what_is_not_ours_is_refused_with_a_reason_and_touches_nothing(storing: Fleet) -> None:
    other = f"{storing.bucket}-other"
    storing.s3.create_bucket(Bucket=other, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for bucket, key in ((other, f"{PREFIX}jobs/body"), (storing.bucket, "secrets/body"), (storing.bucket, f"{PREFIX}jobs/image")):
        storing.s3.put_object(Bucket=bucket, Key=key, Body=b"\xff\xd8\xff")
    bodies = [
        claimed(other, f"{PREFIX}jobs/body"),
        claimed(storing.bucket, "secrets/body"),
        claimed(storing.bucket, f"/{PREFIX}jobs/body"),
        claimed(storing.bucket, [f"{PREFIX}jobs/body"]),
        claimed(None, None),
        claimed(storing.bucket, f"{PREFIX}jobs/image"),
    ]
    for body in bodies:
        storing.sqs.send_message(QueueUrl=storing.url, MessageBody=body)
    worker = storing.start("-c", "1")
    storing.ask("note.delay(2)")

    letters = dead_letters(storing, len(bodies))
    assert {letter["MessageAttributes"]["reason"]["StringValue"] for letter in letters} == {"claim-check"}
    eventually(lambda: storing.runs("note"), {2: 1})
    eventually(lambda: sum(storing.depth()), 0)
    assert storing.objects() == [f"{PREFIX}jobs/image", "secrets/body"]
    assert storing.s3.list_objects_v2(Bucket=other)["KeyCount"] == 1
    assert worker.is_running()


def test_without_s3_the_caller_is_told_and_nothing_is_sent(storing: Fleet) -> None:
    assert storing.s3_network is not None
    storing.s3_network.become(Network.REFUSED)

    told = storing.ask(
        "told = []\n"
        f"large = 'x' * {LARGE}\n"
        "for send in (\n"
        "    lambda: measure.delay(1, large),\n"
        "    lambda: group(measure.si(job, large if job == 3 else '') for job in range(4)).apply_async(),\n"
        "    lambda: publish_many(measure, [[4, ''], [5, large]]),\n"
        "):\n"
        "    try:\n        send()\n    except Exception as error:\n        told.append(type(error).__name__)\n"
        "print(json.dumps(told))"
    )

    # Celery puts connection errors into kombu's words; publish_many is not Celery's.
    assert told == ["OperationalError", "OperationalError", "EndpointConnectionError"]
    assert storing.depth() == (0, 0)


@pytest.mark.long
@pytest.mark.parametrize("state", [Network.REFUSED, Network.SILENT])
def test_while_s3_is_away_large_ones_are_put_off_and_small_ones_run(storing: Fleet, state: Network) -> None:
    assert storing.s3_network is not None
    storing.ask(f"group(measure.si(job, 'x' * {LARGE}) for job in range(3)).apply_async()")
    storing.s3_network.become(state)
    worker = storing.start("-c", "2")
    storing.ask("group(note.si(job) for job in range(20)).apply_async()")

    eventually(lambda: len(storing.runs("note")), 20, within=30)
    eventually(lambda: worker.log.read_text().count("claim check not read"), lambda found: found >= 3, within=60)
    storing.s3_network.become(Network.HEALTHY)
    eventually(lambda: len(storing.notes("measure")), 3, within=60)
    eventually(lambda: sum(storing.depth()), 0)
    assert eventually(storing.objects, []) == []
    assert storing.dead_letters() == []
    assert storing.runs("note") == dict.fromkeys(range(20), 1)


@pytest.mark.long
def test_a_body_that_is_gone_for_good_makes_a_dead_letter(storing: Fleet) -> None:
    storing.ask(f"measure.delay(1, 'x' * {LARGE})")
    (key,) = storing.objects()
    storing.s3.delete_object(Bucket=storing.bucket, Key=key)
    storing.start("-c", "1")

    (letter,) = dead_letters(storing, 1, within=120)
    assert json.loads(letter["Body"])["headers"]["task"] == "shop.measure"
    assert storing.notes("measure") == []
