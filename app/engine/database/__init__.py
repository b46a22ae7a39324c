"""A PostgreSQL that is away is nobody's failure.

Promise: a run that fails because PostgreSQL does not answer, stops, starts or is read-only is told from one that fails by itself, and
whoever waits for PostgreSQL learns within seconds that it answers again.
Limit: told by what the driver says. A connection that broke during a commit leaves open whether that was committed: guard the effect.
Use: ``trouble_of(error)``; ``DatabaseWatch(why_away).report(reason, waiter, back)``. ``app/engine/task.py`` does it for every task.
Stores: nothing.
Emits: log lines ``database is away``, ``database answers again``.
"""

from app.engine.database.probe import why_away
from app.engine.database.trouble import DATABASE, Trouble, trouble_of
from app.engine.database.watch import DatabaseWatch

__all__ = ["DATABASE", "DatabaseWatch", "Trouble", "trouble_of", "why_away"]
