"""Who is alive, on which queues, running what; and that ECS does not stop a worker whose run is long.

Promise: a living worker's item is at most one heartbeat (5 s) old, also while it drains and stops; one that stopped in order is gone at
once; one that was killed or frozen is lost after 20 s, with what it ran, and forgotten after an hour. While a run lasts longer than
``PROTECT_RUNS_AFTER_SECONDS``, the worker's ECS task is protected from scale-in, ten minutes at a time.
Limit: what a worker runs is as old as its last heartbeat. A worker that starts under the name of a lost one takes its place in the list.
Clocks of hosts that differ by 20 s make living workers look lost. Protection is as good as ECS's agent, and nobody waits for it.
Use: ``registry.read_workers``, ``python -m app.manage workers``; see ``docs/how-to/watch-workers.md``. Heartbeat and protection are steps
of Celery's consumer; beat and the outbox relay report by ``presence.py``.
Stores: one item a worker in table ``workers``. Emits: the pulse file of the worker's container; log lines about protection.
"""
