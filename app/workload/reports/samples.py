"""Books to report about, for demos and tests."""

from datetime import date

from django.db import connection, transaction

from app.workload.reports.models import Department, Expense, Return, Sale

DEPARTMENTS = {"garden": "Garden", "kitchen": "Kitchen", "toys": "Toys"}
_ITEMS = ("watering can", "rose, red", 'board 19"', "kettle", "wooden train", "teddy bear", "spade")
#: Of a hundred bookings. What is left are expenses.
_SALES, _RETURNS = 85, 10


def record_samples(*, rows: int, first_day: date, days: int) -> None:
    """Book so many rows, evenly over these days and three departments. The same call books the same rows once more."""
    sales, returns = rows * _SALES // 100, rows * _RETURNS // 100
    with transaction.atomic():
        for code, name in DEPARTMENTS.items():
            Department.objects.get_or_create(code=code, defaults={"name": name})
        for model, count in ((Sale, sales), (Return, returns), (Expense, rows - sales - returns)):
            with connection.cursor() as cursor:
                # Made where they are kept: a million rows need not travel.
                cursor.execute(
                    f"""
                    INSERT INTO {model._meta.db_table} (department_id, booked_at, item, quantity, amount_minor)
                    SELECT (%(codes)s::text[])[1 + n %% %(departments)s],
                           %(first)s::date::timestamp AT TIME ZONE 'UTC' + (n * (%(seconds)s::float8 / %(count)s)) * interval '1 second',
                           (%(items)s::text[])[1 + n %% %(kinds)s], 1 + n %% 5, 100 + (n * 7919) %% 50000
                    FROM generate_series(0, %(count)s::bigint - 1) AS n
                    """,  # noqa: S608, SLF001 — the table's own name
                    {
                        "codes": list(DEPARTMENTS),
                        "departments": len(DEPARTMENTS),
                        "items": list(_ITEMS),
                        "kinds": len(_ITEMS),
                        "first": first_day,
                        "seconds": days * 86_400,
                        "count": count,
                    },
                )
