"""What looking for jobs raises."""

from app.engine.errors import PermanentError, TransientError


class AbsurdJobId(PermanentError):
    """No job of ours can have such an id."""


class NotCertain(TransientError):
    """A place that may know the job could not be read, so that nothing can be said for certain."""


class NotSearchable(PermanentError):
    """Nothing lists the jobs that were asked for."""
