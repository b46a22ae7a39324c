"""What goes wrong with a partner. That it says no does not: it is an outcome."""

from app.engine.errors import PermanentError, TransientError


class EndpointUnknown(PermanentError):
    """No endpoint of that name is registered, or not for such calls."""


class PayloadRefused(PermanentError):
    """The endpoint does not take this payload. Nothing was sent."""


class CallUnknown(PermanentError):
    """The call has no id under which it could be recorded: it was started without a worker."""


class PartnerFails(TransientError):
    """The partner answered that it is in trouble: 5xx, or 429. Whether it has acted is not known."""


class PartnerSpeaksOtherwise(PermanentError):
    """The partner's answer is not what its documentation says. A person has to look."""
