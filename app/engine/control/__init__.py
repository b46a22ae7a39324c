"""Celery's remote control where nothing can broadcast: SQS has no fan-out, so commands stand in a log that every worker reads.

Promise: ``celery inspect``, ``status`` and ``control``, ``app.control`` and ``AsyncResult.revoke()`` work as Celery documents them; a
living worker carries a command out once, within two seconds. A revocation and a pause also bind workers that start later.
Limit: a job that starts in the second after it was revoked may run. A worker that stops answers no more. Threads cannot be terminated.
Use: ``app.control.revoke(id)``, ``celery --app app.config inspect active``; see ``docs/how-to/control-workers.md``.
Stores: table ``mailbox``: one item a command, for an hour, a revocation's until no message can be left, and the answers.
Emits: log lines ``remote command``, ``mailbox not read``, ``mailbox read again``.
"""

from app.engine.control.control import Control
from app.engine.control.errors import ControlRefused, MailboxBusy
from app.engine.control.receiver import RemoteControl

__all__ = ["Control", "ControlRefused", "MailboxBusy", "RemoteControl"]
