"""An order's saga told in rows, for its page."""

from dataclasses import dataclass
from datetime import datetime

from app.engine.sagas.models import Act, Saga
from app.workload.orders.models import Order

#: State → modifier of the badge's class.
TONES = {
    Order.State.PLACED: "idle",
    Order.State.PROCESSING: "busy",
    Order.State.FULFILLED: "ok",
    Order.State.FAILED: "bad",
}
SAGA_TONES = {
    Saga.State.RUNNING: "busy",
    Saga.State.COMPENSATING: "warn",
    Saga.State.DONE: "ok",
    Saga.State.COMPENSATED: "warn",
    Saga.State.STUCK: "bad",
}
_ACT_TONES = {
    Act.State.WAITING: "idle",
    Act.State.PUBLISHED: "busy",
    Act.State.RUNNING: "busy",
    Act.State.DONE: "ok",
    Act.State.REFUSED: "bad",
    Act.State.FAILED: "bad",
    Act.State.SKIPPED: "idle",
}
_STEPS = {
    "promise": "Promised to the customer",
    "accept": "Order taken up",
    "validate": "Everything is still sold",
    "charge": "Card charged",
    "reserve": "Stock reserved",
    "confirm": "Confirmation mailed",
    "warehouse": "Warehouse told to pack",
    "analytics": "Sales counted",
    "finish": "Order fulfilled",
}
_COMPENSATIONS = {
    "promise": "Apology mailed",
    "accept": "Order marked as failed",
    "charge": "Money given back",
    "reserve": "Stock put back",
    "warehouse": "Shipment recalled",
    "analytics": "Sales taken back",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    name: str
    title: str
    state: str
    tone: str
    attempts: int
    text: str
    started_at: datetime | None
    finished_at: datetime | None
    due_at: datetime | None
    took: str


def tell(saga: Saga) -> tuple[list[Row], list[Row]]:
    """The steps, and the compensations in the order in which they began."""
    acts = list(saga.acts.order_by("id"))
    steps = [_row(act, _STEPS) for act in acts if not act.is_compensation]
    return steps, [_row(act, _COMPENSATIONS) for act in acts if act.is_compensation]


def _row(act: Act, titles: dict[str, str]) -> Row:
    return Row(
        name=act.name,
        title=titles.get(act.name, act.name.capitalize()),
        state=act.get_state_display(),
        tone="warn" if act.is_in_flight and act.error else _ACT_TONES[Act.State(act.state)],
        attempts=act.attempts,
        text=act.error,
        started_at=act.started_at,
        finished_at=act.finished_at,
        due_at=act.due_at,
        took=_took(act),
    )


def _took(act: Act) -> str:
    if act.started_at is None or act.finished_at is None:
        return ""
    seconds = (act.finished_at - act.started_at).total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
