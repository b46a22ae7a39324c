"""What goes wrong with housekeeping."""

from app.engine.errors import PermanentError


class DaysImpossible(PermanentError):
    """The number of days is none. Correct the entry of the schedule."""
