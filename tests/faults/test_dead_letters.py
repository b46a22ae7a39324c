"""What will never succeed becomes a dead letter, with its cause."""

import json
from collections.abc import Callable
from typing import Any

from tests.support.broker import MAX_RECEIVES, Broker
from tests.support.eventually import eventually


def test_what_fails_for_good_is_a_dead_letter_with_its_cause_after_exactly_its_runs(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    broker.start("-c", "2")
    broker.send("for job in range(20): fail.delay(job)")

    letters: list[dict[str, Any]] = []

    def found() -> int:
        letters.extend(broker.dead_letters())
        return len(letters)

    eventually(found, lambda number: number == 20, within=30)
    assert set(broker.runs("fail").values()) == {3}
    causes = [json.loads(letter["MessageAttributes"]["cause"]["StringValue"]) for letter in letters]
    assert {(cause["reason"], cause["exception"], cause["attempts"]) for cause in causes} == {("failed", "ValueError", 3)}
    assert len({cause["fingerprint"] for cause in causes}) == 1
    assert "cannot be done" in causes[0]["message"]


def test_a_job_that_kills_its_process_ends_in_the_dead_letters_and_the_worker_goes_on(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    worker = broker.start("-c", "2")
    broker.send("die.delay(1)")

    eventually(lambda: len(broker.dead_letters()), lambda found: found == 1, within=40)
    # A process that has just died may be given the job once more, which then does not begin: a receive without a run.
    assert 1 < broker.runs("die")[1] <= MAX_RECEIVES
    broker.send("note.delay(1)")
    eventually(lambda: broker.runs("note"), lambda runs: runs == {1: 1}, within=10)
    assert worker.is_running()
