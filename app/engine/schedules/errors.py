"""What keeps an entry or a beat from acting."""

from app.engine.errors import PermanentError, TransientError


class LeadershipLost(TransientError):
    """Another beat leads now. What was about to be written is rolled back."""


class NeverDue(PermanentError):
    """The entry's schedule cannot be read, so that nobody knows when it is due."""
