"""What goes wrong with sagas, and how a step says no."""

from celery.exceptions import Ignore

from app.engine.errors import EngineError, PermanentError


class Refused(PermanentError):
    """A step cannot be done for a reason of the business, and has done nothing: a declined card, a shelf that is empty.

    In a saga it is an outcome: the job succeeds, the saga turns back, and ``code`` and the message are its reason. Elsewhere it is an error.
    """

    def __init__(self, reason: str, *, code: str) -> None:
        super().__init__(reason)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return _refused, (type(self), str(self), self.code)


def _refused(kind: type[Refused], reason: str, code: str) -> Refused:
    return kind(reason, code=code)


class SagaUnknown(PermanentError):
    """No saga of that name is declared, or there is none with that id."""


class SagaNotStuck(PermanentError):
    """Only what is stuck, or waits to be tried again, can be resumed."""


class ActIsOver(EngineError, Ignore):
    """The saga has gone on without this run: it was published anew, or compensated. The run is over, neither a failure nor retried."""
