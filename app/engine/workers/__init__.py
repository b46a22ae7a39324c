"""Who is alive, on which queues, running what.

Promise: a living worker's item is at most one heartbeat (5 s) old; one that stopped in order is gone at once; one that
was killed is no longer shown after 20 s.
Limit: what a worker runs is as old as its last heartbeat.
Use: ``registry.live_workers``. The heartbeat is a step of Celery's consumer, see ``heartbeat.py``; beat and the outbox relay
report by ``presence.py``.
Stores: one item a worker in table ``workers``. Emits: the pulse file of the worker's container.
"""
