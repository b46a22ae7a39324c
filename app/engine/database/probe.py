"""Whether PostgreSQL does its work."""

from django.db import Error, connections


def why_away() -> str | None:
    """What keeps one of the configured databases from being written; ``None`` if nothing does.

    A new connection each, so it may take the connection's time-out; as long as a frozen server is frozen, if that took the connection.
    """
    for alias in connections:
        connection = connections.create_connection(alias)
        try:
            if connection.vendor != "postgresql":
                continue
            with connection.cursor() as cursor:
                # "on" on a standby, and where an operator has said so.
                cursor.execute("SHOW transaction_read_only")
                if cursor.fetchone() != ("off",):
                    return f"{alias} is read-only"
        except Error as error:
            return str(error).strip() or type(error).__name__
        finally:
            connection.close()
    return None
