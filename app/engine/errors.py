"""The errors that decide what happens to a run."""


class EngineError(Exception):
    """Whatever the engine raises on purpose."""


class TransientError(EngineError):
    """The next attempt may succeed: a time-out, a refused connection, a throttled call. Tasks that raise it are retried."""


class PermanentError(EngineError):
    """No attempt will succeed: a missing row, a broken invariant. Tasks that raise it are not retried."""
