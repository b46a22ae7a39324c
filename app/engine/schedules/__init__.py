"""Periodic tasks on django-celery-beat.

Promise: what ``app/config/schedule.py`` declares is in the database when beat has started; edits in the admin take
effect within five seconds, without a restart.
Limit: one beat only; it is declared a singleton, but nothing here stops a second one from sending twice.
Use: ``app/config/schedule.py`` and the admin.
Stores: django-celery-beat's tables. Emits: the pulse file of beat's container.
"""
