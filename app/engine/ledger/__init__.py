"""Celery's results in DynamoDB, and the list of the latest tasks.

Promise: one conditional write a state, no read before it; a success is never overwritten; every item expires; a result
that is not stored is not acknowledged.
Limit: only what a worker reported is here. A job that waits in the outbox or in a queue has no record yet.
Use: ``result_backend = "app.engine.ledger.backend:LedgerBackend"``; ``search.latest_tasks``.
Stores: table ``ledger``. Emits: nothing.
"""
