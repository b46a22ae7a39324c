"""Every letter is read once and in order, whatever the copy lacks that DynamoDB read from."""

from datetime import timedelta

from app.engine.control.letters import Letter, Posted
from app.engine.control.mailbox import Mailbox
from app.engine.control.reader import Reader


class Log(Mailbox):
    """What DynamoDB shows of the log: ``hidden`` letters stand there and are not in the copy that is read."""

    def __init__(self) -> None:
        self.letters: list[Posted] = []
        self.hidden: set[int] = set()
        self.consistently: list[bool] = []

    def write(self, *numbers: int) -> None:
        for number in numbers:
            previous = self.letters[-1].number if self.letters else 0
            letter = Letter(id=str(number), method="ping")
            self.letters.append(Posted(letter=letter, number=number, previous=previous, age=timedelta(0)))

    def delete(self, number: int) -> None:
        self.letters = [posted for posted in self.letters if posted.number != number]

    def letters_after(self, number: int, *, consistently: bool) -> list[Posted]:
        self.consistently.append(consistently)
        return [posted for posted in self.letters if posted.number > number and posted.number not in self.hidden]


def numbers(letters: list[Posted]) -> list[int]:
    return [posted.number for posted in letters]


def test_each_letter_is_read_once() -> None:
    log = Log()
    reader = Reader(log)
    log.write(1, 2)

    assert numbers(reader.read()) == [1, 2]
    log.write(3)
    assert numbers(reader.read()) == [3]
    assert numbers(reader.read()) == []


def test_what_comes_after_a_letter_that_is_not_visible_yet_waits_for_it() -> None:
    log = Log()
    log.write(1, 2, 3)
    log.hidden = {2}
    reader = Reader(log)

    assert numbers(reader.read()) == [1]
    assert not reader.is_up_to_date
    log.hidden = set()
    assert numbers(reader.read()) == [2, 3]
    assert reader.is_up_to_date


def test_letters_that_were_deleted_hold_nothing_up() -> None:
    log = Log()
    log.write(10, 20, 30, 40, 50)
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
    log = Log()
    log.write(1, 2)
    reader = Reader(log)

    for _ in range(3):
        reader.read()

    assert log.consistently == [True, False, False]
