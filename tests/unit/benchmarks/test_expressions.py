"""The fake's reading of DynamoDB's expressions, which must be refused rather than guessed."""

from typing import Any

import pytest

from benchmarks.fake_aws.expressions import holds, updated
from benchmarks.fake_aws.refusal import Refusal

ITEM: dict[str, Any] = {"state": {"S": "STARTED"}, "fence": {"N": "3"}}
NAMES = {"#state": "state"}
VALUES: dict[str, Any] = {
    ":started": {"S": "STARTED"},
    ":done": {"S": "SUCCESS"},
    ":three": {"N": "3.0"},
    ":four": {"N": "4"},
    ":one": {"N": "1"},
}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("#state = :started", True),
        ("#state <> :started", False),
        ("missing <> :started", True),
        ("missing < :four", False),
        ("fence = :three AND fence < :four", True),
        ("attribute_not_exists(fence) OR (NOT #state IN (:done, :started) AND fence < :four)", False),
        ("attribute_not_exists(id) AND (#state = :done OR NOT fence >= :four)", True),
        ("#state = :done AND fence = :three OR attribute_exists(fence)", True),
    ],
)
def test_a_condition_is_read_as_dynamodb_reads_it(condition: str, expected: bool) -> None:
    assert holds(condition, ITEM, NAMES, VALUES) is expected


@pytest.mark.parametrize(
    "condition", ["", "size(fence) > :one", "fence BETWEEN :one AND :four", "fence = :unknown", "(fence = :one", "fence = :one )"]
)
def test_what_cannot_be_read_is_refused(condition: str) -> None:
    with pytest.raises(Refusal):
        holds(condition, ITEM, NAMES, VALUES)


def test_an_update_sees_the_item_as_it_was() -> None:
    after = updated(
        "SET fence = if_not_exists(fence, :one) + :one, tries = if_not_exists(tries, :one) + :one REMOVE #state ADD seen :four",
        ITEM,
        NAMES,
        VALUES,
    )

    assert after == {"fence": {"N": "4"}, "tries": {"N": "2"}, "seen": {"N": "4"}}
    assert "state" in ITEM
