"""What sending raises."""

from app.engine.errors import PermanentError


class UnroutedTask(PermanentError):
    """A task was sent whose name fits no route of the topology."""
