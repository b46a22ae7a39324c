"""The way of an order.

promise ─▶ accept ─▶ validate ─▶ charge ─▶ reserve ─▶ ┬ confirm   ┐ ─▶ finish
                                                      ├ warehouse │
                                                      └ analytics ┘
◀─ apologise ◀─ fail             ◀─ refund  ◀─ release   ◀─ recall, take back
"""

from app.engine.sagas.definition import SagaDefinition, Step, declare
from app.workload.orders import services

FULFIL = declare(
    SagaDefinition(
        name=services.SAGA,
        arguments=lambda order_id: {"order_id": order_id},
        steps=(
            # Nothing to do on the way there. On the way back it comes last: a mail that cannot be delivered holds nothing up.
            Step(name="promise", compensation="orders.send_apology"),
            Step(name="accept", task="orders.accept_order", compensation="orders.fail_order"),
            Step(name="validate", task="orders.validate_order"),
            Step(
                name="charge",
                task="payments.charge_reference",
                compensation="payments.refund_reference",
                arguments=services.payment_arguments,
            ),
            Step(name="reserve", task="orders.reserve_stock", compensation="orders.release_stock"),
            (
                Step(name="confirm", task="orders.send_confirmation"),
                Step(name="warehouse", task="orders.notify_warehouse", compensation="orders.recall_shipment"),
                Step(name="analytics", task="orders.update_analytics", compensation="orders.revert_analytics"),
            ),
            Step(name="finish", task="orders.finish_order"),
        ),
    )
)
