from collections.abc import Mapping

import pytest

from benchmarks import report
from benchmarks.reading import Reading
from benchmarks.stacks import CELERY_REDIS, MILLRACE, STOCK_DEFAULT, STOCK_TUNED, Stack


def throughput(stack: Stack, rate: float, *, number: int = 0, values: Mapping[str, float] | None = None) -> Reading:
    return Reading(scenario="throughput", setting="s", stack=stack.name, values={"tasks/s": rate, **(values or {})}, round=number)


def publishing(stack: Stack, setting: str, micros: float) -> Reading:
    return Reading(scenario="producing", setting=setting, stack=stack.name, values={"CPU µs/message": micros})


def written(*readings: Reading, rounds: int = 1) -> str:
    return report.write(readings, {}, command="c", rounds=rounds, seconds=60)


def cells(text: str, *beginning: str) -> Mapping[str, str]:
    """The row that begins so, by the titles of its table."""
    header: list[str] = []
    for line in text.splitlines():
        found = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not found:
            header = []
        elif not header:
            header = found
        elif found[: len(beginning)] == list(beginning):
            return dict(zip(header, found, strict=True))
    raise AssertionError(f"no row {beginning} in:\n{text}")


def test_a_ratio_says_how_many_times_better_we_are_whichever_way_is_better() -> None:
    text = written(
        throughput(STOCK_TUNED, 100, values={"CPU ms/task": 4.0}),
        throughput(CELERY_REDIS, 200, values={"CPU ms/task": 2.0}),
        throughput(MILLRACE, 400, values={"CPU ms/task": 1.0}),
    )

    assert cells(text, "s", "tasks/s") == {"setting": "s", "": "tasks/s", "vs stock-tuned": "4.00", "vs celery-redis": "2.00"}
    assert cells(text, "s", "CPU ms/task")["vs stock-tuned"] == "4.00"


def test_a_ratio_is_taken_within_a_round() -> None:
    text = written(
        throughput(STOCK_TUNED, 100),
        throughput(STOCK_TUNED, 10, number=1),
        throughput(MILLRACE, 200),
        throughput(MILLRACE, 40, number=1),
        rounds=2,
    )

    assert cells(text, "s", "tasks/s")["vs stock-tuned"] == "3.00 (2.00..4.00)"


def test_bulk_is_compared_to_publishing_one_by_one_where_there_is_no_bulk() -> None:
    text = written(publishing(STOCK_DEFAULT, "delay, 0 ms", 300), publishing(MILLRACE, "bulk, 0 ms", 30))

    assert cells(text, "bulk, 0 ms", "CPU µs/message")["vs stock-default"] == "10.0"


def test_the_row_of_what_this_machine_has_not_got_says_so_and_nothing_is_noted() -> None:
    absent = Reading(scenario="throughput", setting="s", stack=CELERY_REDIS.name, absent="redis-server not found")

    text = written(throughput(MILLRACE, 400), absent)

    assert cells(text, "s", "celery-redis")["tasks/s"] == "redis-server not found"
    assert "## Notes" not in text


def test_a_table_without_a_number_still_says_who_is_absent() -> None:
    absent = Reading(scenario="throughput", setting="s", stack=CELERY_REDIS.name, absent="redis-server not found")

    assert cells(written(absent), "s", "celery-redis")["not measured"] == "redis-server not found"


def test_what_could_not_be_measured_is_noted_and_has_no_row() -> None:
    failed = Reading(scenario="throughput", setting="s", stack=STOCK_TUNED.name, missing="the worker ended")

    text = written(throughput(MILLRACE, 400), failed)

    assert "Not measured: throughput, s, stock-tuned, round 1: the worker ended" in text
    assert "| s " in text
    with pytest.raises(AssertionError):
        cells(text, "s", "stock-tuned")


def test_a_lost_job_is_noted_and_no_other_sentence_says_that_none_was() -> None:
    text = written(throughput(MILLRACE, 400, values={"lost": 1, "double": 0, "tasks": 10}))

    assert "**lost: 1** (throughput, s, millrace, round 1)" in text
    assert "none was lost" not in text
    assert "none was lost" in written(throughput(MILLRACE, 400, values={"lost": 0, "double": 0, "tasks": 10}))
