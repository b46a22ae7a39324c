"""Entry points of workers: the steps of the saga ``orders.fulfil``, and the way into it.

A task with ``atomic_step`` commits its effect together with the mark of its step: redelivered, it finds the mark; killed before, it has
done nothing. Each also looks at its row, so that it may be started by hand.
"""

from celery import shared_task

from app.workload.orders import mails, services

#: A mail server that is away for an hour or two undoes no order.
PATIENT = {"max_retries": 30, "retry_backoff": 5}


@shared_task(name="orders.process_order_workflow")
def process_order_workflow(*, order_id: str) -> str:
    """Start an order's saga, and return its id. Waits for nothing. Twice: an order has one saga. Killed half-way: a transaction."""
    return services.process_order_workflow(order_id)


@shared_task(name="orders.accept_order", atomic_step=True)
def accept_order(*, order_id: str) -> str:
    """Take an order up. Twice: it is. Killed half-way: a transaction."""
    return services.accept_order(order_id)


@shared_task(name="orders.validate_order", atomic_step=True)
def validate_order(*, order_id: str) -> bool:
    """Refuse an order of what is not sold any more. Changes nothing, so it may run any number of times."""
    return services.validate_order(order_id)


@shared_task(name="orders.reserve_stock", atomic_step=True)
def reserve_stock(*, order_id: str) -> bool:
    """Take the pieces off the shelf, all or none. Twice: the order says that it has them. Killed half-way: a transaction."""
    return services.reserve_stock(order_id)


@shared_task(name="orders.release_stock", atomic_step=True)
def release_stock(*, order_id: str) -> bool:
    """Put reserved pieces back. Twice: the order says that they are. Killed half-way: a transaction."""
    return services.release_stock(order_id)


@shared_task(name="orders.notify_warehouse", atomic_step=True)
def notify_warehouse(*, order_id: str) -> bool:
    """Have the warehouse pack the order. Twice: it has one shipment. Killed half-way: a transaction."""
    return services.notify_warehouse(order_id)


@shared_task(name="orders.recall_shipment", atomic_step=True)
def recall_shipment(*, order_id: str) -> bool:
    """Have the warehouse not pack it. Twice: it is recalled. Killed half-way: a transaction."""
    return services.recall_shipment(order_id)


@shared_task(name="orders.update_analytics", atomic_step=True)
def update_analytics(*, order_id: str) -> int:
    """Add the order to its day's sales. Twice: the step is marked with it. Killed half-way: a transaction. By hand, it counts again."""
    return services.count_sales(order_id, sign=1)


@shared_task(name="orders.revert_analytics", atomic_step=True)
def revert_analytics(*, order_id: str) -> int:
    """Take the order off its day's sales. Twice or killed half-way: as ``orders.update_analytics``."""
    return services.count_sales(order_id, sign=-1)


@shared_task(name="orders.finish_order", atomic_step=True)
def finish_order(*, order_id: str) -> str:
    """The order is fulfilled. Twice: it is. Killed half-way: a transaction."""
    return services.finish_order(order_id)


@shared_task(name="orders.fail_order", atomic_step=True)
def fail_order(*, order_id: str) -> str:
    """The order has failed, for its saga's reason. Twice: it has. Killed half-way: a transaction."""
    return services.fail_order(order_id)


@shared_task(name="orders.send_confirmation", **PATIENT)
def send_confirmation(*, order_id: str) -> bool:
    """Mail the customer what is on its way. Twice: the row says that it was sent. Killed between sending and marking: the local files are
    asked; SMTP and SES cannot be, and the mail goes out again, with the same Message-ID."""
    return mails.send_confirmation(order_id)


@shared_task(name="orders.send_apology", **PATIENT)
def send_apology(*, order_id: str) -> bool:
    """Mail the customer that nothing comes of it. Twice or killed half-way: as ``orders.send_confirmation``."""
    return mails.send_apology(order_id)
