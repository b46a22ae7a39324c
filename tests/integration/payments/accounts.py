"""What the gateway and the outbox know about a payment."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from app.engine.errors import TransientError
from app.engine.outbox.models import OutboxMessage
from app.workload.payments import services
from app.workload.payments.models import Payment


class GatewayServer(Protocol):
    """The fake gateway of the tests."""

    url: str

    def journal(self) -> list[dict[str, Any]]: ...

    def fault(self, operation: str, mode: str, times: int = 1, seconds: float = 0) -> None: ...


MakePayment = Callable[..., Payment]


def happened(gateway: GatewayServer, payment: Payment) -> Counter[str]:
    """Entries of the gateway's journal about this payment, requests left out."""
    return Counter(entry["kind"] for entry in gateway.journal() if entry["payment_id"] == str(payment.pk) and entry["kind"] != "request")


def published(payment: Payment) -> Counter[str]:
    """Messages in the outbox about this payment, by task."""
    return Counter(message.task for message in OutboxMessage.objects.all() if str(payment.pk) in _text(message.body))


def process_until_final(payment: Payment, attempts: int = 8) -> Payment:
    """Process as a worker would: again after each transient error."""
    for _ in range(attempts):
        try:
            return services.process_payment(str(payment.pk))
        except TransientError:
            continue
    raise AssertionError(f"{payment} is not final after {attempts} attempts")


def _text(body: str) -> str:
    try:
        return json.dumps(json.loads(body))
    except ValueError:
        return body
