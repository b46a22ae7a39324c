from datetime import timedelta

import pytest

from app.console.wording import coarse_duration, counted, duration, first_line, listed, run_time, short_id


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (12, "12s"),
        (59.9, "59s"),
        (60, "1m"),
        (192, "3m 12s"),
        (7_500, "2h 5m"),
        (7_230, "2h"),
        (273_600, "3d 4h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, words: str) -> None:
    assert duration(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0ms"), (0.038, "38ms"), (0.9999, "999ms"), (4.29, "4.2s"), (9.99, "9.9s"), (10, "10s"), (75, "1m 15s")]
)
def test_short_runs_are_told_apart(seconds: float, words: str) -> None:
    assert run_time(timedelta(seconds=seconds)) == words


def test_a_sentence_does_not_change_with_every_second() -> None:
    assert {coarse_duration(timedelta(minutes=12, seconds=seconds)) for seconds in range(60)} == {"12m"}


def test_an_id_is_recognised_by_its_beginning() -> None:
    assert short_id("0f6af13f-5c1a-4f0e-9d2e-1b2c3d4e5f60") == "0f6af13f…"
    assert short_id("short-id1") == "short-id1"


def test_an_error_is_one_line_of_bounded_length() -> None:
    assert first_line("\nTimeout: no answer\nTraceback …") == "Timeout: no answer"
    assert len(first_line("x" * 500)) == 120


def test_numbers_agree_with_their_nouns() -> None:
    assert [counted(1, "dead letter"), counted(1_200, "dead letter"), counted(2, "queue is", "queues are")] == [
        "1 dead letter",
        "1,200 dead letters",
        "2 queues are",
    ]


def test_a_list_reads_as_a_sentence() -> None:
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
