"""Send if and only if committed.

Promise: a task published inside a database transaction is sent when the transaction commits and never when it rolls
back, whatever dies in between. Its id is known at once and is the id that runs.
A job that is due later than SQS could hold its message waits here for its time, too, outside a transaction as well.
Limit: at least once. A crash between sending and forgetting sends again, under the same task id. No order is kept.
Use: ``publisher.publish("payments.process_payment", payment_id=…)`` in a service; plain ``delay()`` does the same.
``delayed.delayed_jobs()`` and ``delayed.cancel(task_id)`` for what is not due yet; ``python -m app.manage delayed`` for a person.
Stores: one row a message in ``outbox_outboxmessage`` until it is sent; what the ledger has not confirmed in ``outbox_laterecord``, until the
relay service has brought it there (``late_records``).
Emits: ``OutboxLag`` and ``OutboxWaiting`` metrics; log lines ``outbox sent``, ``outbox cannot send``, ``delayed job cancelled`` and
``cancelled job not recorded``.
"""
