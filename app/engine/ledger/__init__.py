"""Celery's results in DynamoDB, and the list of the latest tasks.

Promise: one conditional write a state, no read before it; a success is never overwritten; every item expires; a result
that is not stored is not acknowledged: it is stored again while the table is away, and given back if the table refuses it.
Limit: a chord counts its parts; one that is delivered twice, or whose count's answer is lost, may end the chord too early,
with an error. A run that its time limit kills while DynamoDB is away leaves a log line and no state. Only what a worker reported is here. A job that waits in the outbox or in a queue has no record yet.
Use: ``result_backend = "app.engine.ledger.backend:LedgerBackend"``; ``search.latest_tasks``.
Stores: table ``ledger``. Emits: nothing.
"""
