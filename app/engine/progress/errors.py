"""What a run is told that is not the last one any more."""

from celery.exceptions import Ignore

from app.engine.errors import EngineError


class Overtaken(EngineError, Ignore):
    """A later run has taken the work, or has ended it. This one is over: it is neither a failure nor retried."""
