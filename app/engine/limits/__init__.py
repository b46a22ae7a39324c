"""How much may go on under one key: runs at once, starts in a while, and jobs that are there once at a time.

Promise: under one key no more runs are at work at once, and no more begin in any stretch of time, than the task says, whatever the number
of workers. Whoever is over the limit is put off, which is no attempt, and holds up no job of another key. A unique job is enqueued once:
while it is queued or running, whoever enqueues it again gets the id of the first. A worker that is killed leaves nothing locked for longer
than ``LEASE``, a message that is lost for no longer than its key was given.
Limit: a lease is renewed by the run's own process. One that is frozen, or cut off from PostgreSQL, for longer than ``LEASE`` counts as dead,
and goes on if it wakes up. Each limited run costs two small transactions. Who waits is not served in order. A unique job that is dropped
is not told to the one that runs: it may have read its rows already.
Use: ``with limited(self.request, AtOnce(key="acme", most=3), Pace(key="acme", most=10, per=timedelta(minutes=1))): …`` in a task with
``bind=True``; ``publish_unique("library.rebuild", UniqueKey(key=f"rebuild-{pk}"), shelf_id=pk)`` in a service.
Stores: a row a permit in ``limits_permit``, a row a unique job in ``limits_uniquejob``; the task ``engine.forget_old_permits`` deletes
what has lapsed.
Emits: log lines ``over the limit``, ``unique job dropped``, ``permit not renewed``, ``permit lost``, ``permit not given back``.
"""
