"""What the transport is told is checked as a whole, before anything is received."""

from typing import Any

import pytest

from app.engine.broker.errors import BrokerMisconfigured
from app.engine.broker.options import (
    ANSWER_SECONDS,
    LARGEST_UNCLAIMED_BYTES,
    LONGEST_DELAY_SECONDS,
    LONGEST_WAIT_SECONDS,
    BrokerOptions,
    ClaimCheckOptions,
    QueueOptions,
)

QUEUES = {"jobs": {"url": "https://sqs/1/jobs"}}


def read(**options: Any) -> BrokerOptions:
    return BrokerOptions.read({"predefined_queues": QUEUES} | options)


def problems(**options: Any) -> list[str]:
    with pytest.raises(BrokerMisconfigured) as caught:
        read(**options)
    head, *lines = str(caught.value).split("\n")
    assert head == "broker_transport_options:"
    return [line.strip() for line in lines]


def test_everything_but_the_queues_has_a_default_and_both_ways_to_it_agree() -> None:
    assert read() == BrokerOptions(queues={"jobs": QueueOptions(name="jobs", url="https://sqs/1/jobs")})


def test_what_is_told_is_read() -> None:
    told = {
        "endpoint_url": "http://127.0.0.1:5000",
        "wait_time_seconds": 5,
        "prefetch_seconds": 0.5,
        "delete_linger_seconds": 0,
        "longest_delay_seconds": 3,
        "unknown_task_seconds": 60,
        "latest_eta_seconds": 3600,
        "silent_poll_seconds": 30,
        "tenant_header": "customer",
        "release": "r1",
    }
    queues = {"jobs": {"url": "https://sqs/1/jobs", "dead_letter_url": "https://sqs/1/graves", "weight": 3}}
    claim_check = {"bucket": "b", "larger_than_bytes": 7, "prefix": "p/", "kms_key_id": "k"}

    options = read(predefined_queues=queues, claim_check=claim_check, **told)

    assert {name: getattr(options, name) for name in told} == told
    assert options.queues == {"jobs": QueueOptions(name="jobs", url="https://sqs/1/jobs", dead_letter_url="https://sqs/1/graves", weight=3)}
    assert options.claim_check == ClaimCheckOptions(bucket="b", larger_than_bytes=7, prefix="p/", kms_key_id="k")


def test_keys_that_are_kombu_s_are_left_to_kombu() -> None:
    assert read(visibility_timeout=5, is_secure=True) == read()


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("wait_time_seconds", 1, LONGEST_WAIT_SECONDS),
        ("prefetch_seconds", 0, 3600),
        ("delete_linger_seconds", 0, 5),
        ("longest_delay_seconds", 1, LONGEST_DELAY_SECONDS),
        ("unknown_task_seconds", 0, 4 * 86400),
        ("latest_eta_seconds", 0, float("inf")),
        ("silent_poll_seconds", LONGEST_WAIT_SECONDS + ANSWER_SECONDS, 3600),
    ],
)
def test_a_number_is_within_its_bounds(name: str, low: float, high: float) -> None:
    assert getattr(read(**{name: low}), name) == low
    if high != float("inf"):
        assert getattr(read(**{name: high}), name) == high
        assert problems(**{name: high + 0.001}) == [f"{name}: expected a number from {low:g} to {high:g}, got {high + 0.001!r}"]
    assert problems(**{name: low - 1}) == [f"{name}: expected a number from {low:g} to {high:g}, got {low - 1!r}"]
    for value in ("1", None, True, float("nan")):
        assert problems(**{name: value}) == [f"{name}: expected a number from {low:g} to {high:g}, got {value!r}"]


def test_a_shorter_poll_is_sooner_silent() -> None:
    assert read(wait_time_seconds=2, silent_poll_seconds=2 + ANSWER_SECONDS).silent_poll_seconds == 2 + ANSWER_SECONDS
    assert problems(wait_time_seconds=3, silent_poll_seconds=2 + ANSWER_SECONDS)


@pytest.mark.parametrize("queues", [None, {}, [], "jobs", {"predefined_queues": {}}.get("predefined_queues")])
def test_without_queues_there_is_nothing_to_do(queues: Any) -> None:
    (problem,) = problems(predefined_queues=queues)

    assert problem.startswith("predefined_queues: expected {'name': {'url'")


@pytest.mark.parametrize("entry", [None, "https://sqs/1/jobs", {}, {"url": None}, {"url": 7}, {"url": ""}])
def test_a_queue_has_an_address(entry: Any) -> None:
    assert problems(predefined_queues={"jobs": entry}) == [f"predefined_queues['jobs']: expected a mapping with a 'url', got {entry!r}"]


@pytest.mark.parametrize("weight", [0, -1, 1001, 1.5, "2", True, None])
def test_a_weight_is_a_whole_number_from_1_to_1000(weight: Any) -> None:
    (problem,) = problems(predefined_queues={"jobs": {"url": "u", "weight": weight}})

    assert problem.endswith(f"expected a whole number from 1 to 1000, got {weight!r}")


@pytest.mark.parametrize("weight", [1, 1000])
def test_the_least_and_the_greatest_weight_are_taken(weight: int) -> None:
    assert read(predefined_queues={"jobs": {"url": "u", "weight": weight}}).queues["jobs"].weight == weight


@pytest.mark.parametrize(
    ("claim_check", "problem"),
    [
        ("bucket", "claim_check: expected a mapping with a 'bucket', got 'bucket'"),
        ({}, "claim_check: expected a mapping with a 'bucket', got {}"),
        ({"bucket": ""}, "claim_check.bucket: expected a text that is not empty, got ''"),
        ({"bucket": "b", "prefix": ""}, "claim_check.prefix: expected a text that is not empty, got ''"),
        ({"bucket": "b", "prefix": None}, "claim_check.prefix: expected a text that is not empty, got None"),
        ({"bucket": "b", "kms_key_id": 7}, "claim_check.kms_key_id: expected the id of a key, got 7"),
        ({"bucket": "b", "colour": 1}, "claim_check: got an unexpected keyword argument 'colour'"),
    ],
)
def test_a_claim_check_is_refused_that_could_not_work_or_would_open_the_bucket(claim_check: Any, problem: str) -> None:
    assert problems(claim_check=claim_check) == [problem]


@pytest.mark.parametrize("most", [-1, LARGEST_UNCLAIMED_BYTES + 1, 1.5, "1", True, None])
def test_what_is_left_in_a_message_must_fit_into_one(most: Any) -> None:
    (problem,) = problems(claim_check={"bucket": "b", "larger_than_bytes": most})

    assert problem.startswith("claim_check.larger_than_bytes: expected a whole number from 0 to 524288")


@pytest.mark.parametrize("most", [0, LARGEST_UNCLAIMED_BYTES])
def test_everything_or_nothing_small_may_go_to_s3(most: int) -> None:
    claim_check = read(claim_check={"bucket": "b", "larger_than_bytes": most}).claim_check

    assert claim_check is not None
    assert claim_check.larger_than_bytes == most


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        predefined_queues={"a": {"url": "u", "weight": 0, "dead_letter_url": 7}, "b": {}},
        endpoint_url="",
        wait_time_seconds=0,
        longest_delay_seconds=901,
        claim_check={"bucket": "b", "prefix": "", "larger_than_bytes": -1},
    )

    assert [problem.partition(":")[0] for problem in found] == [
        "wait_time_seconds",
        "predefined_queues['a'].weight",
        "predefined_queues['a'].dead_letter_url",
        "predefined_queues['b']",
        "endpoint_url",
        "longest_delay_seconds",
        "claim_check.larger_than_bytes",
        "claim_check.prefix",
    ]
