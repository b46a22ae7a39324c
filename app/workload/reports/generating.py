"""How a large report is made, a part at a time.

    read     each source, ROWS_PER_PART rows at a time, by key: a part in the storage; its row and the checkpoint in one transaction
    write    each file out of the parts, on this machine's disk, then into the storage; a checkpoint after each
    finish   the report and the last checkpoint in one transaction

Killed anywhere, the next run goes on after the last checkpoint and repeats one part or one file, under a name of its own.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from django.db import connection, transaction
from django.db.models import Sum

from app.engine import soft_limit
from app.engine.progress.checkpoints import Track
from app.workload.reports import documents, files
from app.workload.reports.models import Report, ReportPart
from app.workload.reports.position import STEPS, Position
from app.workload.reports.sources import SOURCES, Row, Source

logger = logging.getLogger(__name__)

ROWS_PER_PART = 10_000
"""A megabyte of CSV, and half a second of work that a kill costs."""


def find_position(report: Report, track: Track) -> Position:
    """Where the last run stopped, or the start."""
    if track.checkpoint is not None:
        return Position.from_state(track.checkpoint.state)
    position = Position(expected=sum(source.of(report).count() for source in SOURCES))
    save(track, position)
    return position


def read_sources(report: Report, track: Track, position: Position) -> Position:
    """Bring every source to the storage."""
    while position.source < len(SOURCES):
        soft_limit.check()
        source = SOURCES[position.source]
        rows = source.rows_after(report, position.after, ROWS_PER_PART)
        position = _store_part(report, track, position, source, rows)
    return position


def _store_part(report: Report, track: Track, position: Position, source: Source, rows: list[Row]) -> Position:
    is_last = len(rows) < ROWS_PER_PART
    number = position.parts + 1 if rows else position.parts
    after = (rows[-1][1], rows[-1][0]) if rows else None
    moved = position.past(number, after, len(rows), is_last=is_last)
    name = files.store_bytes(report.pk, track.fence, f"part-{number}.csv", documents.csv_lines(source.name, rows)) if rows else ""
    with transaction.atomic():
        if rows:
            amount = sum(row[-1] for row in rows)
            ReportPart.objects.create(report=report, number=number, source=source.name, name=name, rows=len(rows), amount_minor=amount)
        save(track, moved)
    return moved


def write_files(report: Report, track: Track, position: Position) -> Position:
    """Make the files of the parts. No database connection is held between two words of progress."""
    parts = list(report.parts.order_by("number").values_list("source", "name", "rows"))
    totals = totals_of(report)
    for kind, write in (("csv", _write_csv), ("xlsx", _write_xlsx)):
        if kind in position.files:
            continue
        with TemporaryDirectory(prefix="report-") as directory:
            path = Path(directory) / f"report.{kind}"
            write(path, parts, _teller(track, position, f"writing {kind.upper()}"))
            size = path.stat().st_size
            position = position.with_file(kind, files.store_file(report.pk, track.fence, path.name, path), size)
        save(track, position)
    if "pdf" not in position.files:
        content = documents.pdf_summary(report, totals)
        position = position.with_file("pdf", files.store_bytes(report.pk, track.fence, "report.pdf", content), len(content))
        save(track, position)
    return position


def totals_of(report: Report) -> dict[str, dict[str, int]]:
    """Of what was read."""
    summed = {
        row["source"]: {"rows": row["all_rows"], "amount_minor": int(row["all_amounts"])}
        for row in report.parts.order_by().values("source").annotate(all_rows=Sum("rows"), all_amounts=Sum("amount_minor"))
    }
    return {source.name: summed.get(source.name, {"rows": 0, "amount_minor": 0}) for source in SOURCES}


def save(track: Track, position: Position) -> None:
    """The checkpoint, with what people are told of it."""
    track.save(
        state=position.as_state(),
        current=position.current,
        total=position.total,
        label=_label(position),
        counts={"step": position.step, "rows": position.rows},
    )


_Part = tuple[str, str, int]


def _write_csv(path: Path, parts: list[_Part], tell: Callable[[int], None]) -> None:
    with path.open("wb") as whole:
        whole.write(documents.csv_heading())
        for _, name, rows in parts:
            whole.write(files.read(name))
            tell(rows)


def _write_xlsx(path: Path, parts: list[_Part], tell: Callable[[int], None]) -> None:
    book = documents.Spreadsheet(path)

    def rows_of(source: str) -> Iterator[list[str]]:
        for _, name, rows in (part for part in parts if part[0] == source):
            yield from documents.read_lines(files.read(name))
            tell(rows)

    for source in SOURCES:
        book.add(source.name, rows_of(source.name))
    book.close()


def _teller(track: Track, position: Position, label: str) -> Callable[[int], None]:
    written = 0

    def tell(rows: int) -> None:
        nonlocal written
        soft_limit.check()
        written += rows
        track.report(current=position.current + written, label=_numbered(position, label))
        if not connection.in_atomic_block:
            connection.close()

    return tell


def _label(position: Position) -> str:
    if position.source < len(SOURCES):
        return _numbered(position, f"reading {SOURCES[position.source].name}")
    return "finished" if len(position.files) + len(SOURCES) == STEPS else _numbered(position, "writing files")


def _numbered(position: Position, label: str) -> str:
    return f"step {position.step} of {STEPS}: {label}"
