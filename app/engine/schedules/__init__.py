"""Periodic tasks on django-celery-beat: any number of beats may run, one acts, and each due time is sent once.

Promise: what ``app/config/schedule.py`` declares is in the database when a beat leads, and what it no longer declares is not; an
operator's own entries stay. A due time is an exact moment of the schedule. Its job is written to the outbox in the transaction
that records its occurrence: once, whoever is killed, stopped or away. Another beat takes over within about ten seconds, at once if
the leader was told to stop. What was missed is skipped, sent once or sent in full, as the entry says. Edits take effect within five
seconds. A database that is away is waited for.
Limit: an entry's occurrences are known for 30 days. Of more than 100 missed due times the latest 100 are sent at most. Entries that
follow the sun are not sent. A due time comes when the clock of the leader's host says so. What was switched off stays off.
Use: ``app/config/schedule.py``, ``create_periodic_task(…)`` of ``periodic_tasks``, the admin; ``python -m app.manage schedule`` shows what
is due, what was missed and who leads.
Stores: django-celery-beat's tables, and beside them ``schedules_occurrence``, ``schedules_entrystate`` and ``schedules_leadership``.
Emits: the pulse file of beat's container; log lines ``due``, ``due times missed``, ``beat leads``, ``beat leads no longer``,
``beat leaves``, ``beat waits for the database``, ``beat goes on``, ``beat cannot send`` and ``beat cannot read an entry``.
"""
