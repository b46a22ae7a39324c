"""How rows are written: CSV, XLSX and PDF. Memory does not depend on the number of rows."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from app.workload.reports.models import Report
from app.workload.reports.money import CURRENCY, decimal_of, written
from app.workload.reports.sources import COLUMNS, SOURCES, Row

ROWS_PER_SHEET = 1_048_575
"""Excel's limit, less the heading."""
CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
#: With these a spreadsheet takes a text for a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(source: str, rows: Iterable[Row]) -> bytes:
    """Rows of a source without a heading. Texts that a spreadsheet would take for a formula get an apostrophe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for pk, booked_at, department, item, quantity, amount_minor in rows:
        writer.writerow((source, pk, booked_at.isoformat(), department, _harmless(item), quantity, decimal_of(amount_minor)))
    return text.getvalue().encode()


def csv_heading() -> bytes:
    return (",".join(("source", *COLUMNS)) + "\r\n").encode()


def read_lines(lines: bytes) -> Iterator[list[str]]:
    """What :func:`csv_lines` wrote, the source left out."""
    return (row[1:] for row in csv.reader(io.StringIO(lines.decode(), newline="")))


class Spreadsheet:
    """An XLSX file that is written row by row, a sheet for each source, or more where one is full."""

    def __init__(self, path: Path) -> None:
        from xlsxwriter import Workbook  # here and not above: no process but this one needs it

        # One row is in memory, the rest is in files beside the result.
        options = {"constant_memory": True, "tmpdir": str(path.parent), "strings_to_formulas": False, "strings_to_urls": False}
        self._book = Workbook(str(path), options)
        self._bold, self._money = self._book.add_format({"bold": True}), self._book.add_format({"num_format": "#,##0.00"})
        self._sheets = 0

    def add(self, source: str, rows: Iterator[list[str]]) -> None:
        """Write all rows of a source."""
        sheet, line = self._sheet(source, 1), 0
        for pk, booked_at, department, item, quantity, amount in rows:
            line += 1
            if line > ROWS_PER_SHEET:
                sheet, line = self._sheet(source, self._sheets + 1), 1
            sheet.write_number(line, 0, int(pk))
            sheet.write_string(line, 1, booked_at)
            sheet.write_string(line, 2, department)
            sheet.write_string(line, 3, item)
            sheet.write_number(line, 4, int(quantity))
            # The text is exact; the spreadsheet makes of it what it makes of numbers.
            sheet.write_number(line, 5, float(amount), self._money)

    def close(self) -> None:
        self._book.close()

    def _sheet(self, source: str, number: int) -> Any:
        self._sheets = number
        sheet = self._book.add_worksheet(source.capitalize() if number == 1 else f"{source.capitalize()} {number}")
        sheet.set_column(1, 1, 28)
        sheet.set_column(3, 3, 32)
        sheet.freeze_panes(1, 0)
        for column, title in enumerate(COLUMNS):
            sheet.write_string(0, column, title, self._bold)
        return sheet


def pdf_summary(report: Report, totals: dict[str, dict[str, int]]) -> bytes:
    """One page: rows and amount of each source, and what is left."""
    from fpdf import FPDF  # a quarter of a second, which each start of each process would pay

    page = FPDF()
    page.set_title(_latin(str(report)))
    page.set_creation_date(report.created_at)
    page.add_page()
    page.set_font("helvetica", style="B", size=18)
    page.cell(text=_latin(report.subject), new_x="LMARGIN", new_y="NEXT")
    page.set_font("helvetica", size=11)
    page.cell(h=10, text=f"{report.period}, in {CURRENCY}", new_x="LMARGIN", new_y="NEXT")
    page.ln(4)
    left = sum(source.sign * totals[source.name]["amount_minor"] for source in SOURCES)
    with page.table(text_align=("LEFT", "RIGHT", "RIGHT"), width=150, align="LEFT") as table:
        table.row(("", "rows", "amount"))
        for source in SOURCES:
            counted = totals[source.name]
            table.row((source.title, f"{counted['rows']:,}", written(source.sign * counted["amount_minor"])))
        table.row(("Result", f"{sum(counted['rows'] for counted in totals.values()):,}", written(left)))
    return bytes(page.output())


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _latin(text: str) -> str:
    """What the fonts that every PDF reader has can show."""
    return text.encode("latin-1", "replace").decode("latin-1")
