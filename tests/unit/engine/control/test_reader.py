"""Every letter is read once and in order, whatever the copy lacks that DynamoDB read from."""

from app.engine.control.letters import Posted
from app.engine.control.reader import Reader
from tests.unit.engine.control.log import Log


def log_of(*numbers: int) -> Log:
    log = Log()
    for number in numbers:
        log.write(number)
    return log


def numbers(letters: list[Posted]) -> list[int]:
    return [posted.number for posted in letters]


def test_each_letter_is_read_once() -> None:
    log = log_of(1, 2)
    reader = Reader(log)

    assert numbers(reader.read()) == [1, 2]
    log.write(3)
    assert numbers(reader.read()) == [3]
    assert numbers(reader.read()) == []


def test_what_comes_after_a_letter_that_is_not_visible_yet_waits_for_it() -> None:
    log = log_of(1, 2, 3)
    log.hidden = {2}
    reader = Reader(log)

    assert numbers(reader.read()) == [1]
    assert not reader.is_up_to_date
    log.hidden = set()
    assert numbers(reader.read()) == [2, 3]
    assert reader.is_up_to_date


def test_letters_that_were_deleted_hold_nothing_up() -> None:
    log = log_of(10, 20, 30, 40, 50)
    log.delete(10)
    log.delete(30)
    reader = Reader(log)

    assert numbers(reader.read()) == []
    assert numbers(reader.read()) == [20, 40, 50]
    assert reader.is_up_to_date


def test_an_empty_log_is_known_at_once() -> None:
    reader = Reader(Log())

    assert reader.read() == []
    assert reader.is_up_to_date


def test_only_what_a_starting_worker_must_know_is_read_at_double_the_price() -> None:
    log = log_of(1, 2)
    reader = Reader(log)

    for _ in range(3):
        reader.read()

    assert log.consistently == [True, False, False]
