"""Where a job that was sent back comes from."""

import json
from typing import Any

import pytest

from app.engine.broker.lineage import ELSEWHERE, LONGEST_NAME, MOST_TOLD, NEVER, REDRIVE, Lineage, Redrive, lineage_of, sent_back_elsewhere


def back(number: int) -> Redrive:
    return Redrive(by="ada", at=f"2026-01-0{number}", letter=f"default-{number}")


def test_what_is_written_is_read_back_from_the_attribute_and_from_the_header() -> None:
    lineage = NEVER.and_then(back(1)).and_then(back(2))

    assert lineage_of({REDRIVE: lineage.as_attribute()}) == lineage
    assert lineage_of({}, {REDRIVE: lineage.as_header()}) == lineage
    assert lineage_of({REDRIVE: lineage.and_then(back(3)).as_attribute()}, {REDRIVE: lineage.as_header()}).count == 3  # type: ignore[union-attr]
    assert lineage_of({}) is None


def test_all_are_counted_and_the_latest_told() -> None:
    lineage = NEVER
    for number in range(1, 9):
        lineage = lineage.and_then(back(number))

    assert lineage.count == 8
    assert [one.at[-1] for one in lineage.redrives] == ["4", "5", "6", "7", "8"]
    assert len(lineage.redrives) == MOST_TOLD


@pytest.mark.parametrize(
    "told",
    [
        None,
        7,
        "",
        "[" * 3000,
        "9" * 5000,
        '{"count": 1' + " " * 5000 + "}",
        "[]",
        {},
        {"count": 0, "redrives": []},
        {"count": True, "redrives": []},
        {"count": 10**9, "redrives": []},
        {"count": 1, "redrives": {}},
    ],
)
def test_what_is_no_lineage_is_none(told: Any) -> None:
    assert Lineage.read(told) is None


def test_names_that_somebody_else_has_written_are_short_and_printable() -> None:
    lineage = Lineage.read(json.dumps({"count": 1, "redrives": [7, {"by": "x\n\ud800" + "y" * 500, "at": 3}]}))

    assert lineage is not None
    (redrive,) = lineage.redrives
    assert redrive.by == "x" + "y" * (LONGEST_NAME - 3)
    assert redrive.at == redrive.letter == ""


def test_who_sends_back_without_saying_so_is_counted() -> None:
    lineage = sent_back_elsewhere(NEVER.and_then(back(1)))

    assert (lineage.count, lineage.redrives[-1].by) == (2, ELSEWHERE)
