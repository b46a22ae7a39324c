"""What keeps an entry or a beat from acting."""

from app.engine.errors import PermanentError, TransientError


class LeadershipLost(TransientError):
    """Another beat leads now. What was about to be written is rolled back."""


class NeverDue(PermanentError):
    """The entry's schedule cannot be read, so that nobody knows when it is due."""


class ScheduleRefused(PermanentError):
    """What was asked for cannot be kept. ``problems`` has the part and the reason for each."""

    def __init__(self, name: str, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__(f"The schedule {name!r:.210} cannot be kept: " + "; ".join(reason for _, reason in problems) + ".")
        self.problems = problems


class ScheduleDeclared(ScheduleRefused):
    """The entry is the code's: an edit elsewhere would be undone by the next beat that leads."""


class NoSuchSchedule(PermanentError):
    """There is no entry of that name."""
