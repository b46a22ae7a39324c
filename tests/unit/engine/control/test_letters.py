"""What a letter says, to whom, and for how long."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from app.engine.conf import engine_settings
from app.engine.control.letters import COMMAND_COUNTS, COMMAND_KEPT, PAUSE_LASTS, Letter, Posted, longest_life

LETTER = Letter(id="1", method="ping")


def test_a_letter_survives_its_envelope() -> None:
    letter = Letter(
        id="1",
        method="revoke",
        arguments={"task_id": ["a", "b"], "terminate": True, "at": datetime(2026, 1, 2)},  # noqa: DTZ001 — any value will do
        destination=("one@h",),
        pattern="one*",
        matcher="glob",
        ticket="t",
    )

    assert Letter.decode(id="1", method="revoke", body=letter.encode()) == letter
    assert Letter.decode(id="1", method="ping", body=LETTER.encode()) == LETTER


@pytest.mark.parametrize("body", [b"", b"not zlib", b"x\x9c+\xce\xcf\x05\x00\x04\x95\x01\xd1"], ids=["empty", "not compressed", "not JSON"])
def test_a_letter_that_cannot_be_read_is_for_nobody(body: bytes) -> None:
    letter = Letter.decode(id="1", method="shutdown", body=body)

    assert not letter.is_for("one@h")
    assert not letter.is_lasting


def test_a_letter_is_for_those_it_names() -> None:
    assert LETTER.is_for("one@h")
    assert replace(LETTER, destination=("one@h", "two@h")).is_for("two@h")
    assert not replace(LETTER, destination=("one@h",)).is_for("two@h")
    assert replace(LETTER, pattern="o*@h", matcher="glob").is_for("one@h")
    assert not replace(LETTER, pattern="o*@h", matcher="glob").is_for("two@h")


@pytest.mark.parametrize(
    ("method", "age", "counts"),
    [
        ("ping", timedelta(0), True),
        ("ping", COMMAND_COUNTS, False),
        ("shutdown", COMMAND_COUNTS, False),
        ("revoke", timedelta(days=17), True),
        ("terminate", COMMAND_COUNTS, True),
        ("pause_queue", timedelta(days=17), True),
    ],
)
def test_a_command_counts_for_a_minute_and_what_binds_the_fleet_for_as_long_as_it_lasts(method: str, age: timedelta, counts: bool) -> None:
    assert Posted(letter=replace(LETTER, method=method), number=2, previous=1, age=age).counts is counts


def test_a_revocation_is_kept_for_as_long_as_any_message_of_the_job_may_come() -> None:
    settings = engine_settings()

    lasts = replace(LETTER, method="revoke_by_stamped_headers").lasts(settings)

    assert lasts == longest_life(settings)
    for queue in settings.topology.queues:
        assert lasts >= queue.dead_letter_retention + queue.retention + settings.longest_sqs_delay
    assert replace(LETTER, method="resume_queue").lasts(settings) == PAUSE_LASTS
    assert LETTER.lasts(settings) == COMMAND_KEPT
