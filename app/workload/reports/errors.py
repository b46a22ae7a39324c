"""What goes wrong with reports."""

from app.engine.errors import PermanentError


class ReportUnknown(PermanentError):
    """There is no such report, or the id is none: the message was made by hand, or the row was deleted."""


class DepartmentUnknown(PermanentError):
    """No department has this code."""
