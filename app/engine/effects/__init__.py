"""An effect happens once, however often its job runs.

Promise: what ``once`` guards in PostgreSQL is committed together with the note that it was, so it is there once or not at all: for a job
that is delivered twice, retried, killed half-way or sent back from the dead letters. Of two runs at the same time one waits for the other.
A run that finds a later one of its job in the notes is refused.
Limit: PostgreSQL only, and one database. The effects of another system need a key that this one knows: ``stable_key``. A note is
forgotten when no message of its job can be left, unless the job was sent back from the dead letters late, and again.
Use: ``guard.once(self.request, "book", lambda: services.book(order_id))`` in a task with ``bind=True``;
``guard.stable_key(self.request, "capture")`` for a payment gateway's idempotency key.
Stores: one row an effect in ``effects_effect``; the task ``engine.forget_old_effects`` deletes the old ones.
Emits: log lines ``effect found done``, ``stale run refused``.
"""
