"""What goes wrong with payments. A declined card does not: it is an outcome."""

from app.engine.errors import PermanentError, TransientError


class PaymentUnknown(PermanentError):
    """There is no such payment, or the id is none: the message was made by hand, or the row was deleted."""


class AmountDiffers(PermanentError):
    """The gateway names another amount than the row. Nothing more is charged; a person has to look."""


class OutcomeContradicts(PermanentError):
    """The gateway says something else than the final row does. The row stays as it is; a person has to look."""


class PaymentNotCaptured(PermanentError):
    """A follow-up was asked for a payment that is not captured."""


class NotRefundable(PermanentError):
    """The payment is not captured, or was refunded before."""


class ReferenceTaken(PermanentError):
    """There is a payment of that reference, with another amount, card or owner."""


class BooksDoNotBalance(PermanentError):
    """The ledger of postings, the payments and the balances do not agree. A person has to look; the message says where."""


class GatewayUnavailable(TransientError):
    """The gateway cannot be reached, is overloaded, fails inside, or is still at work. Whether it charged is not known."""


class GatewayRefused(PermanentError):
    """The gateway understood and refuses for a reason that is ours: a wrong key, a wrong parameter."""
