"""Periodic tasks on django-celery-beat.

Promise: what ``app/config/schedule.py`` declares is in the database when beat has started, and what it no longer declares
is not; an operator's own entries stay. Edits in the admin take effect within five seconds, without a restart.
Limit: beat's next start restores the declared entries, but not their switch: what an operator has switched off stays off.
One beat only; it is declared a singleton, but nothing here stops a second one from sending twice.
Use: ``app/config/schedule.py`` and the admin.
Stores: django-celery-beat's tables. Emits: the pulse file of beat's container.
"""
