"""What a report is made of: three books, read one after the other."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from app.workload.reports.models import Booking, Expense, Report, Return, Sale

COLUMNS = ("id", "booked_at", "department", "item", "quantity", "amount")
Row = tuple[int, datetime, str, str, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One book. ``sign`` is what its amounts do to the result."""

    name: str
    model: type[Booking]
    sign: int

    @property
    def title(self) -> str:
        return self.name.capitalize()

    def of(self, report: Report) -> "QuerySet[Any]":
        """The bookings of the report's period and department."""
        bookings: QuerySet[Any] = self.model._default_manager.filter(booked_at__gte=report.begins, booked_at__lt=report.ends)  # noqa: SLF001 — Django's public name for it
        return bookings if report.department_id is None else bookings.filter(department_id=report.department_id)

    def rows_after(self, report: Report, after: tuple[datetime, int] | None, limit: int) -> list[Row]:
        """The next rows in the order of their moment, by key and not by offset: the last ones cost as little as the first."""
        bookings = self.of(report)
        if after is not None:
            moment, pk = after
            bookings = bookings.filter(Q(booked_at__gt=moment) | Q(booked_at=moment, id__gt=pk), booked_at__gte=moment)
        read = bookings.order_by("booked_at", "id").values_list("id", "booked_at", "department_id", "item", "quantity", "amount_minor")
        return list(read[:limit])

    def totals(self, report: Report) -> dict[str, int]:
        counted = self.of(report).aggregate(rows=Count("id"), amount_minor=Sum("amount_minor"))
        return {"rows": counted["rows"], "amount_minor": int(counted["amount_minor"] or 0)}


SOURCES = (
    Source(name="sales", model=Sale, sign=1),
    Source(name="returns", model=Return, sign=-1),
    Source(name="expenses", model=Expense, sign=-1),
)
