"""The shop closes its books of the week: one report of all departments, as CSV, spreadsheet and PDF."""

import csv
import io
import uuid
import zipfile
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from scripts.laptop.demo import DemoFailed, Shop, Story

_BOOKINGS, _DAYS = 5_000, 7
_DONE_WITHIN = timedelta(seconds=90)
_FINAL = {"done", "failed"}


def close_the_books(shop: Shop) -> Story:
    """Raises :class:`DemoFailed` when the API does not do its part; what is in the files is in the story."""
    story = Story(title="Report of a week", columns=("source", "rows", "amount"), right=frozenset({"rows", "amount"}))
    shop.doing = f"booking {_BOOKINGS:,} sales, returns and expenses"
    shop.manage("record_sample_sales", "--rows", str(_BOOKINGS), "--days", str(_DAYS))
    report = _await_end(shop, _request(shop))
    if report["state"] != "done":
        raise DemoFailed(f"The report {report['id']} has failed: {report['failure']}")
    for source, found in report["totals"].items():
        story.rows.append((source, f"{found['rows']:,}", f"{found['amount_minor'] / 100:,.2f} EUR"))
    _check_files(shop, report, story)
    return story


def _request(shop: Shop) -> dict[str, Any]:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    body = {"first_day": str(yesterday - timedelta(days=_DAYS)), "last_day": str(yesterday)}
    answer = shop.post("/api/reports", body, idempotency_key=f"report-{uuid.uuid4().hex}")
    if answer.status != HTTPStatus.CREATED:
        raise DemoFailed(f"POST /api/reports: expected 201, got {answer.status}: {answer.body}")
    report: dict[str, Any] = answer.body
    return report


def _await_end(shop: Shop, report: dict[str, Any]) -> dict[str, Any]:
    address = report["links"]["self"]

    def has_ended() -> bool:
        report.update(shop.get(address).body)
        return report["state"] in _FINAL

    def describe() -> str:
        progress = report["progress"]
        return f"the report waits for a worker ({report['state']})" if progress is None else f"{progress['label']}, {progress['percent']} %"

    if not shop.wait_until(has_ended, describe, _DONE_WITHIN):
        raise DemoFailed(f"The report {report['id']} is {report['state']} after {_DONE_WITHIN.seconds} s. See var/log/worker-reports.log.")
    return report


def _check_files(shop: Shop, report: dict[str, Any], story: Story) -> None:
    contents = {kind: shop.download(file["link"]) for kind, file in report["files"].items()}
    sizes = {kind: len(content) for kind, content in contents.items()}
    announced = {kind: file["bytes"] for kind, file in report["files"].items()}
    story.expect(sizes == announced, f"The files have {sizes} bytes, {announced} were announced.")
    rows = sum(found["rows"] for found in report["totals"].values())
    lines = sum(1 for _ in csv.reader(io.StringIO(contents["csv"].decode(), newline=""))) - 1
    story.expect(lines == rows, f"The CSV has {lines} rows, {rows} were read.")
    story.expect(zipfile.ZipFile(io.BytesIO(contents["xlsx"])).testzip() is None, "The spreadsheet is damaged.")
    story.expect(contents["pdf"].startswith(b"%PDF-"), "The PDF is none.")
    told = ", ".join(f"{kind.upper()} {size / 1024:,.0f} KiB" for kind, size in sizes.items())
    story.proven.append(f"{rows:,} rows, each in the CSV: {told}, made in {report['duration_seconds']:.1f} s")
