"""Parts of a chord, counted by what they are."""

import pytest

from app.engine.ledger.chords import Chords
from tests.unit.engine.ledger.fake_dynamodb import TABLE, FakeDynamoDb


@pytest.fixture
def chords() -> Chords:
    dynamodb = FakeDynamoDb()
    return Chords(lambda: dynamodb, TABLE, lambda: 1_000)


def test_a_part_that_comes_twice_counts_once(chords: Chords) -> None:
    assert [chords.count("chord", part) for part in ("a", "b", "a", "b", "c")] == [1, 2, 2, 2, 3]


def test_only_the_part_that_closed_a_chord_closes_it_again(chords: Chords) -> None:
    for part in ("a", "b"):
        chords.count("chord", part)

    assert chords.close("chord", "b")
    assert not chords.close("chord", "a")
    assert chords.close("chord", "b"), "it died before the callback was sent, and came again"


def test_chords_do_not_mix(chords: Chords) -> None:
    chords.count("one", "a")

    assert chords.count("other", "b") == 1
