"""What goes wrong with orders. An empty shelf or a declined card does not: it is an outcome."""

from app.engine.errors import PermanentError


class OrderUnknown(PermanentError):
    """There is no such order, or the id is none: the message was made by hand, or the row was deleted."""


class CannotBeOrdered(PermanentError):
    """What was asked for is not sold, or not together. ``line`` is the line that is wrong, if it is one."""

    def __init__(self, reason: str, *, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line
