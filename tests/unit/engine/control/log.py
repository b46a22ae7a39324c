"""A mailbox whose log is a list."""

from datetime import timedelta
from typing import Any

from app.engine.aws.errors import AwsUnavailable
from app.engine.control.letters import Letter, Posted
from app.engine.control.mailbox import Mailbox


class Log(Mailbox):
    """What DynamoDB shows of the log: ``hidden`` letters stand there and are not in the copy that is read."""

    def __init__(self) -> None:
        self.letters: list[Posted] = []
        self.hidden: set[int] = set()
        self.consistently: list[bool] = []
        self.fails_at: set[int] = set()
        """The reads, counted from 1, that get no answer."""

    def write(self, number: int, method: str = "ping", **arguments: Any) -> None:
        previous = self.letters[-1].number if self.letters else 0
        letter = Letter(id=str(number), method=method, arguments=arguments)
        self.letters.append(Posted(letter=letter, number=number, previous=previous, age=timedelta(0)))

    def delete(self, number: int) -> None:
        self.letters = [posted for posted in self.letters if posted.number != number]

    def letters_after(self, number: int, *, consistently: bool) -> list[Posted]:
        self.consistently.append(consistently)
        if len(self.consistently) in self.fails_at:
            raise AwsUnavailable("Could not read the mailbox: no answer")
        return [posted for posted in self.letters if posted.number > number and posted.number not in self.hidden]
