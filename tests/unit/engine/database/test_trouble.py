"""Whose fault a database's error is."""

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django import db
from django.db import connections

from app.engine.database import Trouble, trouble_of


def by_django(kind: type[Exception], driver: Exception) -> Exception:
    error = kind(*driver.args)
    error.__cause__ = driver
    return error


@pytest.mark.parametrize(
    ("driver", "django"),
    [
        (psycopg.errors.AdminShutdown, db.OperationalError),
        (psycopg.errors.CrashShutdown, db.OperationalError),
        (psycopg.errors.CannotConnectNow, db.OperationalError),
        (psycopg.errors.ConnectionFailure, db.OperationalError),
        (psycopg.errors.SqlclientUnableToEstablishSqlconnection, db.OperationalError),
        (psycopg.errors.TooManyConnections, db.OperationalError),
        (psycopg.errors.ReadOnlySqlTransaction, db.InternalError),
        (psycopg.OperationalError, db.OperationalError),
        (psycopg.errors.ConnectionTimeout, db.OperationalError),
    ],
)
def test_a_server_that_is_away_is_told_from_one_that_refuses(driver: type[Exception], django: type[Exception]) -> None:
    assert trouble_of(driver("no")) is Trouble.AWAY
    assert trouble_of(by_django(django, driver("no"))) is Trouble.AWAY


@pytest.mark.parametrize("driver", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
def test_a_transaction_that_lost_against_another_is_a_conflict(driver: type[Exception]) -> None:
    assert trouble_of(by_django(db.OperationalError, driver("no"))) is Trouble.CONFLICT


@pytest.mark.parametrize(
    "error",
    [
        by_django(db.IntegrityError, psycopg.errors.UniqueViolation("no")),
        by_django(db.ProgrammingError, psycopg.errors.UndefinedTable("no")),
        by_django(db.OperationalError, psycopg.errors.LockNotAvailable("no")),
        by_django(db.OperationalError, psycopg.errors.QueryCanceled("no")),
        by_django(db.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout("no")),
        by_django(db.OperationalError, psycopg.errors.DiskFull("no")),
        by_django(db.DataError, psycopg.errors.NumericValueOutOfRange("no")),
        by_django(db.InterfaceError, psycopg.InterfaceError("the cursor is closed")),
        db.ProgrammingError("no"),
        OSError("connection refused"),
        TimeoutError(),
    ],
    ids=lambda error: type(error.__cause__ or error).__name__,
)
def test_everything_else_is_the_asker_s_business(error: Exception) -> None:
    assert trouble_of(error) is None


def test_an_interface_error_counts_where_a_connection_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: Any = SimpleNamespace(connection=SimpleNamespace(closed=True))
    monkeypatch.setattr(type(connections), "all", lambda _self, **_: [lost])

    assert trouble_of(by_django(db.InterfaceError, psycopg.InterfaceError("connection already closed"))) is Trouble.AWAY
