"""What a run is told that may not have its effect."""

from celery.exceptions import Ignore

from app.engine.errors import EngineError


class StaleRun(EngineError, Ignore):
    """A later run of the same job has begun to have its effects. This one is over: it is neither a failure nor retried."""


class EffectUnderWay(EngineError):
    """Another run of the job is in the middle of this effect, and was for as long as we waited. The job is put off, which is no attempt."""
