"""What a message in a dead-letter queue says of its death, whoever wrote it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from app.engine.broker.lineage import NEVER, REDRIVE, Redrive
from app.engine.dead_letters.letter import DeadLetter, State, read_letter
from app.engine.dead_letters.reading import CRASH_LOOP, Read, read_message
from tests.support.hostile import HOSTILE, TASK_ID, encoded, valid_message

NOW = 1_790_000_000.0
RETENTION = timedelta(days=14)
CAUSE: dict[str, Any] = {
    "reason": "failed",
    "message": "card 17",
    "exception": "ValueError",
    "fingerprint": "0123456789ab",
    "task": "shop.pay",
    "task_id": "7c1f",
    "attempts": 4,
    "release": "r7",
    "failed_at": "2026-09-21T12:00:00+00:00",
}


def text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def read(body: str = "", cause: Any = CAUSE, more: Any = None) -> Read:
    attributes = (
        {"reason": text("failed"), "cause": text(cause if isinstance(cause, str) else json.dumps(cause))} if cause is not None else {}
    )
    raw = {
        "MessageId": "m1",
        "Body": body or encoded(valid_message(task="shop.pay", id="7c1f", retries=3)),
        "Attributes": {"SentTimestamp": "1789000000000", "MessageGroupId": "acme"},
        "MessageAttributes": attributes | (more or {}),
    }
    return read_message(raw, queue="default", retention=RETENTION, now=NOW)


def test_a_failure_is_told_as_its_worker_told_it() -> None:
    found = read()
    letter = found.letter

    assert (letter.id, letter.state, letter.queue) == ("default-m1", State.DEAD, "default")
    assert (letter.task, letter.task_id, letter.tenant) == ("shop.pay", "7c1f", "acme")
    assert (letter.reason, letter.exception, letter.message, letter.fingerprint) == ("failed", "ValueError", "card 17", "0123456789ab")
    assert (letter.attempts, letter.release, letter.died_at) == (4, "r7", 1789992000.0)
    assert letter.expires_at == 1_789_000_000 + 14 * 86_400
    assert found.death is None


def test_what_sqs_has_moved_is_a_crash_loop_and_its_job_is_dead() -> None:
    found = read(cause=None)

    assert (found.letter.reason, found.letter.task, found.letter.task_id, found.letter.attempts) == (CRASH_LOOP, "shop.pay", "7c1f", 4)
    assert found.letter.died_at == NOW
    assert found.death is not None
    assert (found.death.task_id, found.death.generation, found.death.letter) == ("7c1f", 4, "default-m1")


def test_crash_loops_of_one_task_are_one_problem() -> None:
    first, second = read(cause=None), read(encoded(valid_message(task="shop.pay", id="8d2e")), cause=None)

    assert (
        first.letter.fingerprint
        == second.letter.fingerprint
        != read(encoded(valid_message(task="shop.ship")), cause=None).letter.fingerprint
    )


def test_a_second_death_shows_the_first() -> None:
    lineage = NEVER.and_then(Redrive(by="ada", at="2026-09-20"))

    found = read(cause=None, more={REDRIVE: lineage.as_attribute()})

    assert found.letter.lineage == lineage
    assert found.letter.redrives == 1
    assert found.death is not None
    # It began anew, although its body still says that it was retried three times.
    assert (found.death.generation, found.death.attempts, found.death.redrives) == (1, 1, 1)


@pytest.mark.parametrize("shape", HOSTILE, ids=lambda shape: shape.name)
def test_a_hostile_body_is_indexed_like_any_other(shape: Any) -> None:
    found = read(shape.body, cause=None)

    assert found.letter.reason == CRASH_LOOP
    assert read_letter(found.letter.as_item()) == found.letter
    assert (found.death is None) == (shape.outcome == "refused" and not found.letter.task)


@pytest.mark.parametrize(
    "cause",
    [
        "",
        "[1]",
        "[" * 60_000,
        "9" * 5000,
        '{"a": ' * 5000,
        "x" * 100_000,
        dict.fromkeys(CAUSE, 7),
        {name: [[name]] for name in CAUSE},
        dict.fromkeys(CAUSE, "\ud800\n\x00" * 1000),
        CAUSE | {"failed_at": "9999-12-31T23:59:59.999999-23:59"},
        CAUSE | {"failed_at": "0001-01-01T00:00:00"},
        CAUSE | {"failed_at": "2999-01-01T00:00:00"},
        CAUSE | {"attempts": 10**400},
        CAUSE | {"attempts": -1},
    ],
    ids=lambda cause: str(cause)[:20],
)
def test_a_hostile_cause_does_no_harm(cause: Any) -> None:
    letter = read(cause=cause).letter

    assert letter.reason == "failed"
    assert letter.message.isprintable()
    assert read_letter(letter.as_item()) == letter
    assert 0 < letter.died_at <= NOW + 86_400
    json.dumps(letter.as_json()).encode()


def test_what_an_index_cannot_take_is_left_out_of_the_item() -> None:
    item = read("nonsense", cause=None).letter.as_item()

    assert not {"task", "task_id", "exception"} & set(item)
    assert all(value != {"S": ""} for value in item.values())


def test_an_item_is_read_back_whole() -> None:
    letter = read(cause=None, more={REDRIVE: NEVER.and_then(Redrive(by="ada", at="2026-09-20")).as_attribute()}).letter

    assert isinstance(letter, DeadLetter)
    assert read_letter(letter.as_item()) == letter
    assert TASK_ID not in json.dumps(letter.as_json())
