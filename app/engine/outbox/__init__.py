"""Send if and only if committed.

Promise: a task published inside a database transaction is sent when the transaction commits and never when it rolls
back, whatever dies in between. Its id is known at once and is the id that runs.
Limit: at least once. A crash between sending and forgetting sends again, under the same task id. No order is kept.
Use: ``publisher.publish("payments.process_payment", payment_id=…)`` in a service; plain ``delay()`` does the same.
Stores: one row a message in ``outbox_message`` until it is sent.
Emits: ``OutboxLag`` and ``OutboxWaiting`` metrics; log lines ``outbox sent`` and ``outbox cannot send``.
"""
