"""Double entry: every movement of money is posted with the row that says it happened, and its lines add up to zero.

    capture   gateway clearing +a │ revenue -a
    refund    refunds +a          │ gateway clearing -a

PostgreSQL refuses to commit a posting that does not add up (migration 0002).
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from app.workload.payments.errors import BooksDoNotBalance
from app.workload.payments.models import Balance, BalanceEntry, Payment, Posting, PostingLine, Refund

_MOST_TOLD = 5
Account = PostingLine.Account


@dataclass(frozen=True, kw_only=True, slots=True)
class Books:
    """What the accounts come to, by currency."""

    accounts: dict[str, dict[str, int]]
    postings: int


def post_capture(payment: Payment) -> None:
    """In the transaction that captures it."""
    _post(payment, Posting.Kind.CAPTURE, {Account.GATEWAY_CLEARING: payment.amount_minor, Account.REVENUE: -payment.amount_minor})


def post_refund(payment: Payment) -> None:
    """In the transaction that refunds it."""
    _post(payment, Posting.Kind.REFUND, {Account.REFUNDS: payment.amount_minor, Account.GATEWAY_CLEARING: -payment.amount_minor})


def _post(payment: Payment, kind: Posting.Kind, lines: dict[PostingLine.Account, int]) -> None:
    posting = Posting.objects.create(payment=payment, kind=kind, currency=payment.currency)
    PostingLine.objects.bulk_create(PostingLine(posting=posting, account=account, amount_minor=amount) for account, amount in lines.items())


def check_books() -> Books:
    """Compare postings, payments, refunds and balances; return what the accounts come to.

    Raises :class:`BooksDoNotBalance`, which says what is wrong with which rows.
    """
    problems = [f"{what}: {', '.join(str(key) for key in found)}" for what, rows in _suspects() if (found := list(rows[:_MOST_TOLD]))]
    if problems:
        raise BooksDoNotBalance(
            f"{'; '.join(problems)}. The first {_MOST_TOLD} of each are listed. Compare them with the gateway's dashboard."
        )
    accounts: dict[str, dict[str, int]] = {}
    totals = PostingLine.objects.values_list("posting__currency", "account").annotate(total=Sum("amount_minor"))
    for currency, account, total in totals:
        accounts.setdefault(currency, {})[account] = total
    return Books(accounts=accounts, postings=Posting.objects.count())


def _suspects() -> list[tuple[str, Any]]:
    """What must not be, and a query of the keys of the rows that are so."""
    return [
        (
            "postings that do not add up",
            Posting.objects.annotate(total=Sum("lines__amount_minor")).exclude(total=0).values_list("pk", flat=True),
        ),
        ("captured payments that are not posted once, in full", _not_posted(Posting.Kind.CAPTURE, Account.GATEWAY_CLEARING, 1)),
        ("refunded payments that are not posted once, in full", _not_posted(Posting.Kind.REFUND, Account.GATEWAY_CLEARING, -1)),
        ("postings of money that did not move", _unfounded()),
        ("refunds of more than was captured", Refund.objects.exclude(amount_minor=F("payment__amount_minor")).values_list("pk", flat=True)),
        ("balances that are not the sum of their entries", _wrong_balances()),
    ]


def _not_posted(kind: Posting.Kind, account: PostingLine.Account, sign: int) -> Any:
    moved = (
        Payment.objects.filter(state=Payment.State.CAPTURED)
        if kind is Posting.Kind.CAPTURE
        else Payment.objects.filter(refund__state=Refund.State.REFUNDED)
    )
    lines = PostingLine.objects.filter(
        posting__payment=OuterRef("pk"), posting__kind=kind, posting__currency=OuterRef("currency"), account=account
    )
    posted = Coalesce(Subquery(lines.values("amount_minor")[:1]), 0)
    return moved.annotate(posted=posted).exclude(posted=F("amount_minor") * sign).values_list("pk", flat=True)


def _unfounded() -> Any:
    is_founded = Q(kind=Posting.Kind.CAPTURE, payment__state=Payment.State.CAPTURED) | Q(
        kind=Posting.Kind.REFUND, payment__refund__state=Refund.State.REFUNDED
    )
    return Posting.objects.annotate(number_of_lines=Count("lines")).exclude(is_founded, number_of_lines=2).values_list("pk", flat=True)


def _wrong_balances() -> Any:
    entries = BalanceEntry.objects.filter(payment__owner=OuterRef("owner"), payment__currency=OuterRef("currency"))
    total = entries.order_by().values("payment__owner").annotate(total=Sum("amount_minor")).values("total")
    return Balance.objects.annotate(total=Coalesce(Subquery(total), 0)).exclude(total=F("amount_minor")).values_list("pk", flat=True)
