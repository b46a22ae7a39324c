"""Which of a database's errors are not the fault of whoever asked."""

from enum import Enum

import psycopg
from django.db import Error, InterfaceError, OperationalError, connections

#: Under this name a run says that the database is what it lacks.
DATABASE = "database"


class Trouble(Enum):
    AWAY = "it does not answer, stops, starts or does not write"
    CONFLICT = "it gave this transaction up for another one"


#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONNECTION_EXCEPTIONS = "08"
_AWAY = frozenset(
    {
        "57P01",  # admin_shutdown, and whoever ends a session
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now: starting up, shutting down, recovering
        "57P05",  # idle_session_timeout
        "53300",  # too_many_connections
        "25006",  # read_only_sql_transaction: a server that became a standby, or is about to
    }
)
_CONFLICT = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected


def trouble_of(error: BaseException) -> Trouble | None:
    """``None`` for what is the asker's own business: other errors of the database, and errors of something else.

    A connection that cannot be made counts as away whatever the reason, a wrong password included: no job is to blame for it.
    """
    if not isinstance(error, Error | psycopg.Error):
        return None
    driver = error.__cause__ if isinstance(error, Error) else error
    code = getattr(driver, "sqlstate", None)
    if code is None:
        # The driver speaks for itself: it has no connection, or just lost it. Its InterfaceError may also be a misuse.
        is_interface = isinstance(error, InterfaceError | psycopg.InterfaceError)
        is_lost = isinstance(error, OperationalError | psycopg.OperationalError) or (is_interface and _has_lost_a_connection())
        return Trouble.AWAY if is_lost else None
    if code in _AWAY or code.startswith(_CONNECTION_EXCEPTIONS):
        return Trouble.AWAY
    return Trouble.CONFLICT if code in _CONFLICT else None


def _has_lost_a_connection() -> bool:
    """Whether one of this thread's connections is closed that Django believes to be open."""
    return any(one.connection is not None and one.connection.closed for one in connections.all(initialized_only=True))
