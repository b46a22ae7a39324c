"""What tests do with a report that real workers make: ask for it, follow it, open its files."""

import threading
import urllib.request
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from http.client import HTTPResponse
from tempfile import TemporaryFile
from typing import Any, Self
from urllib.error import HTTPError

import pytest

from tests.integration.reports.opened import read_csv, read_pdf, read_xlsx
from tests.support.eventually import eventually

DAYS = 5
#: How soon a crash is noticed here.
VISIBILITY_SECONDS = 3
#: A command has a minute.
ROWS_PER_COMMAND = 200_000


class Watcher(ABC):
    """Looks again and again, in a thread, as long as the ``with`` lasts."""

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    @abstractmethod
    def look(self) -> None:
        """Once."""

    def _go_on(self) -> None:
        while not self._is_over.wait(0.05):
            self.look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


class Watch(Watcher):
    """Looks at the progress of one report."""

    def __init__(self, stack: Any, address: str) -> None:
        super().__init__()
        self.stack, self.seen = stack, list[tuple[Any, ...]]()
        self.work = f"reports.report:{address.rpartition('/')[2]}"

    def look(self) -> None:
        self.seen += self.stack.query("SELECT shown_current, coalesce(shown_percent, 0) FROM progress_checkpoint WHERE key = %s", self.work)

    def assert_never_fell(self) -> None:
        assert len({current for current, _ in self.seen}) > 3
        assert [current for current, _ in self.seen] == sorted(current for current, _ in self.seen)
        assert [percent for _, percent in self.seen] == sorted(percent for _, percent in self.seen)


def deploy(stack: Any, rows: int) -> None:
    stack.network.habits(duplicates=0, lost_receives=0)
    stack.shorten_visibility("reports", VISIBILITY_SECONDS)
    for _ in range(0, rows, ROWS_PER_COMMAND):
        done = stack.manage("record_sample_sales", "--rows", str(min(rows, ROWS_PER_COMMAND)), "--days", str(DAYS))
        assert done.returncode == 0, done.stderr


def request_report(stack: Any) -> str:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    body = {"first_day": str(yesterday - timedelta(days=DAYS)), "last_day": str(yesterday)}
    answer = stack.request("POST", "/api/reports", body)
    assert answer.status == 201, answer
    return f"/api/reports/{answer.body['id']}"


def await_done(stack: Any, address: str, within: float) -> Any:
    eventually(lambda: stack.request("GET", address).body["state"], lambda state: state in {"done", "failed"}, within=within)
    report = stack.request("GET", address).body
    assert report["state"] == "done", report
    assert report["progress"]["percent"] == 100
    return report


class _Stay(urllib.request.HTTPRedirectHandler):
    """The token must not follow the link."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def download(stack: Any, link: str) -> HTTPResponse:
    request = urllib.request.Request(stack.url + link, headers={"Authorization": f"Bearer {stack.token}"})  # noqa: S310 — our own address
    with pytest.raises(HTTPError) as refused:
        urllib.request.build_opener(_Stay).open(request, timeout=10)
    with refused.value as redirected:
        answer: HTTPResponse = urllib.request.urlopen(redirected.headers["Location"], timeout=60)  # noqa: S310 — the local S3
    return answer


def assert_right(stack: Any, report: Any) -> None:
    """Each file holds each row of the books once, and their sums; and what the runs left behind is gone."""
    rows, amounts = {}, {}
    for source, table in (("sales", "sale"), ("returns", "return"), ("expenses", "expense")):
        ((rows[source], amounts[source]),) = stack.query(f"SELECT count(*), sum(amount_minor)::bigint FROM reports_{table}")  # noqa: S608 — our own words
    with download(stack, report["files"]["csv"]["link"]) as answer:
        csv = read_csv(answer.read())
    with download(stack, report["files"]["xlsx"]["link"]) as answer, TemporaryFile() as file:
        while piece := answer.read(1 << 20):
            file.write(piece)
        assert file.tell() == report["files"]["xlsx"]["bytes"]
        xlsx = read_xlsx(file)
    for found in (csv, xlsx):
        assert (dict(found.rows), dict(found.amounts), found.different) == (rows, amounts, sum(rows.values()))
    with download(stack, report["files"]["pdf"]["link"]) as answer:
        assert f"{rows['sales']:,}" in read_pdf(answer.read())
    eventually(lambda: stack.query("SELECT count(*) FROM reports_reportpart")[0][0], 0, within=30)
