"""Housekeeping: what nobody needs any more is deleted, a few rows at a time.

Promise: a batch is a transaction and no longer than a moment, so it never holds up the site; whatever is killed, the next run goes on. Only
rows that nobody can need: sessions that have expired, and results of Celery and of beat that are older than asked for.
Limit: at most ``MOST_BATCHES`` batches a run and table. What the engine stores it forgets by itself, DynamoDB's items leave by TTL, and each
app of the shop deletes its own rows.
Use: both tasks stand in ``app/config/schedule.py``. Stores: nothing.
"""
