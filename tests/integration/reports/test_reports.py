"""Reports out of real books, into a real bucket, in this process."""

import io
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Count, Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from app.engine.outbox.models import OutboxMessage
from app.engine.progress import checkpoints
from app.engine.progress.errors import Overtaken
from app.engine.progress.reading import read
from app.workload.reports import documents, files, generating, services
from app.workload.reports.errors import DepartmentUnknown, ReportUnknown
from app.workload.reports.models import Department, Expense, Report, Return, Sale
from app.workload.reports.position import FORMATS
from app.workload.reports.sources import SOURCES
from tests.integration.reports.conftest import DAYS, FIRST_DAY
from tests.integration.reports.opened import Found, read_csv, read_pdf, read_xlsx

pytestmark = pytest.mark.django_db(transaction=True)
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)


def run(task_id: str = "job", fence: int | None = None) -> Any:
    return SimpleNamespace(id=task_id, properties={"delivery_info": {} if fence is None else {"fence": fence}})


def published() -> list[str]:
    return sorted(OutboxMessage.objects.values_list("task", flat=True))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generating, "ROWS_PER_PART", 50)


@pytest.fixture
def report(owner: AbstractBaseUser, books: int) -> Report:
    return services.request_report(owner=owner, department_code=None, first_day=FIRST_DAY, last_day=LAST_DAY)


def make(report: Report, request: Any = None) -> Report:
    return services.generate_large_report(str(report.pk), request or run())


def assert_right(report: Report, storage: Any) -> None:
    """Its files hold what the books hold, each row once."""
    report.refresh_from_db()
    assert report.state == Report.State.DONE, report.failure_reason
    assert set(report.files) == set(FORMATS)
    content = {kind: storage.open(file["name"]).read() for kind, file in report.files.items()}
    for kind, file in report.files.items():
        assert file["bytes"] == len(content[kind])
    booked = {source.name: source.of(report).aggregate(rows=Count("id"), amount=Sum("amount_minor")) for source in SOURCES}
    for found in (read_csv(content["csv"]), read_xlsx(io.BytesIO(content["xlsx"]))):
        assert dict(found.rows) == {name: counted["rows"] for name, counted in booked.items() if counted["rows"]}
        assert dict(found.amounts) == {name: int(counted["amount"]) for name, counted in booked.items() if counted["rows"]}
        assert found.different == sum(counted["rows"] for counted in booked.values())
    assert report.totals == {name: {"rows": c["rows"], "amount_minor": int(c["amount"] or 0)} for name, c in booked.items()}
    text = read_pdf(content["pdf"])
    assert str(booked["sales"]["rows"]) in text
    assert report.subject in text


def test_a_report_holds_every_row_of_every_book_once(report: Report, storage: Any) -> None:
    make(report)

    assert_right(report, storage)
    progress = read(report.work)
    assert progress is not None
    assert (progress.percent, progress.label, progress.counts["rows"]) == (100, "finished", 150)
    assert report.size_bytes > 0
    assert report.duration is not None


def test_a_report_of_one_department_and_some_days_holds_those_only(owner: AbstractBaseUser, books: int, storage: Any) -> None:
    report = services.request_report(
        owner=owner, department_code="toys", first_day=FIRST_DAY + timedelta(days=2), last_day=FIRST_DAY + timedelta(days=3)
    )

    make(report)

    assert_right(report, storage)
    report.refresh_from_db()
    assert 0 < sum(counted["rows"] for counted in report.totals.values()) < 150


def test_a_report_about_nothing_is_whole_and_empty(owner: AbstractBaseUser, books: int, storage: Any) -> None:
    report = services.request_report(owner=owner, department_code=None, first_day=date(2020, 1, 1), last_day=date(2020, 1, 1))

    make(report)

    assert_right(report, storage)


def test_rows_of_one_moment_are_read_once_each(owner: AbstractBaseUser, storage: Any) -> None:
    toys = Department.objects.create(code="toys", name="Toys & Märchen €")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    Sale.objects.bulk_create(Sale(department=toys, booked_at=moment, item="=1+1", amount_minor=100) for _ in range(173))
    report = services.request_report(owner=owner, department_code=None, first_day=FIRST_DAY, last_day=FIRST_DAY)

    make(report)

    assert_right(report, storage)
    report.refresh_from_db()
    assert b",'=1+1," in storage.open(report.files["csv"]["name"]).read()


def test_a_finished_report_is_left_alone_and_its_parts_go(report: Report, storage: Any) -> None:
    make(report)
    report.refresh_from_db()
    kept = report.files

    assert make(report, run("another")).files == kept
    assert services.delete_parts(str(report.pk)) == 5
    assert services.delete_parts(str(report.pk)) == 0
    assert not report.parts.exists()
    assert_right(report, storage)


class Cut:
    """Raises at the given calls of a function, as a signal would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *calls: int, after: bool = False) -> None:
        self.calls, self.original = 0, getattr(owner, name)
        self.at, self.after = calls, after
        monkeypatch.setattr(owner, name, self)

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls in self.at and not self.after:
            raise SoftTimeLimitExceeded
        result = self.original(*args, **options)
        if self.calls in self.at:
            raise SoftTimeLimitExceeded
        return result


@pytest.mark.parametrize(
    ("owner_of_it", "name", "calls", "after"),
    [
        (files, "store_bytes", (2, 4, 8), False),
        (generating, "save", (2, 5, 9), True),
        (files, "store_file", (1, 2), False),
        *(
            pytest.param(*at, marks=pytest.mark.long)
            for at in (
                (files, "store_bytes", (2, 4, 8), True),
                (generating, "save", (1, 4, 8), False),
                (files, "store_file", (1, 2), True),
                (documents, "pdf_summary", (1,), False),
            )
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value) if isinstance(value, tuple) else None,
)
def test_the_time_limit_costs_no_attempt_and_the_next_run_goes_on(
    report: Report, storage: Any, monkeypatch: pytest.MonkeyPatch, owner_of_it: Any, name: str, calls: tuple[int, ...], after: bool
) -> None:
    cut = Cut(monkeypatch, owner_of_it, name, *calls, after=after)
    shown = [0]
    for number in range(len(calls) + 1):
        make(report, run(f"job-{number}"))
        progress = read(report.work)
        assert progress is not None
        shown.append(progress.current)

    assert shown == sorted(shown)
    assert cut.calls >= max(calls)
    report.refresh_from_db()
    assert report.interruptions == len(calls)
    assert published().count("reports.generate_large_report") == 1 + len(calls)
    assert_right(report, storage)


def test_a_resumed_run_reads_only_what_is_left(report: Report, storage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        Cut(patched, files, "store_bytes", 4)
        make(report)
    stored = Cut(monkeypatch, files, "store_bytes")

    make(report)

    # Of five parts three were there; and the PDF.
    assert stored.calls == 3
    assert_right(report, storage)


def test_a_step_that_never_fits_into_the_time_limit_fails_the_report_with_a_reason(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    Cut(monkeypatch, documents, "pdf_summary", *range(1, 99))
    for _ in range(4):
        make(report)

    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert "step 6" in report.failure_reason
    assert report.interruptions == 3
    assert make(report).state == Report.State.FAILED


def test_an_overtaken_run_changes_nothing_of_the_later_one(report: Report, storage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = files.store_file
    overtaken: list[Any] = []

    def overtake_while_it_stores(report_id: Any, fence: int, name: str, path: Any) -> str:
        monkeypatch.setattr(files, "store_file", original)
        make(report, run("later"))
        report.refresh_from_db()
        overtaken.append(report.files)
        return original(report_id, fence, name, path)

    monkeypatch.setattr(files, "store_file", overtake_while_it_stores)
    with pytest.raises(Overtaken):
        make(report, run("earlier"))

    report.refresh_from_db()
    assert [report.files] == overtaken
    assert_right(report, storage)
    # The late file of the overtaken run goes with the parts.
    assert services.delete_parts(str(report.pk)) == 6
    assert_right(report, storage)


def test_an_earlier_run_of_the_same_job_does_not_come_back(report: Report, storage: Any) -> None:
    checkpoints.take(report.work, run(fence=2))

    with pytest.raises(Overtaken):
        make(report, run(fence=1))


def test_no_transaction_is_open_while_rows_are_read_or_files_stored(report: Report, storage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ones: list[bool] = []
    for name in ("store_bytes", "store_file", "read"):
        original = getattr(files, name)

        def watched(*args: Any, original: Any = original, **options: Any) -> Any:
            open_ones.append(connection.in_atomic_block)
            return original(*args, **options)

        monkeypatch.setattr(files, name, watched)

    make(report)

    assert len(open_ones) > 15
    assert not any(open_ones)


def test_a_part_costs_few_statements(report: Report, storage: Any) -> None:
    with CaptureQueriesContext(connection) as queries:
        make(report)

    reading = [query for query in queries if query["sql"].startswith("SELECT") and "LIMIT 50" in query["sql"]]
    assert len(reading) == 3 + 1 + 1
    assert len(queries) < 5 * 6 + 60


@pytest.mark.parametrize("report_id", ["", "x", "12", None, 12, "00000000-0000-4000-8000-000000000000"])
def test_an_id_that_no_report_has_is_a_permanent_error(report_id: Any) -> None:
    with pytest.raises(ReportUnknown):
        services.generate_large_report(report_id, run())


def test_a_department_that_is_not_there_is_refused_and_nothing_is_enqueued(owner: AbstractBaseUser) -> None:
    with pytest.raises(DepartmentUnknown, match="'x'"):
        services.request_report(owner=owner, department_code="x", first_day=FIRST_DAY, last_day=LAST_DAY)

    assert published() == []


# -- daily reports -------------------------------------------------------------------------------------------------------


def test_daily_reports_are_one_for_each_active_department_however_often_they_are_asked_for(books: int, storage: Any) -> None:
    Department.objects.filter(pk="garden").update(is_active=False)

    assert [services.generate_daily_reports(FIRST_DAY) for _ in range(3)] == [2, 0, 0]
    assert services.generate_daily_reports(FIRST_DAY + timedelta(days=1)) == 2

    assert sorted(Report.objects.filter(last_day=FIRST_DAY, owner=None).values_list("department", "kind")) == [
        ("kitchen", "daily"),
        ("toys", "daily"),
    ]
    assert Report.objects.count() == 4
    assert published() == ["reports.generate_report_pdf"] * 4


def test_the_page_of_a_daily_report_tells_the_day(books: int, storage: Any) -> None:
    services.generate_daily_reports(FIRST_DAY)
    report = Report.objects.get(department="toys")

    services.generate_report_pdf(str(report.pk), run())
    services.generate_report_pdf(str(report.pk), run("again"))

    report.refresh_from_db()
    assert report.state == Report.State.DONE
    assert report.totals == {source.name: source.totals(report) for source in SOURCES}
    text = read_pdf(storage.open(report.files["pdf"]["name"]).read())
    assert "Toys" in text
    assert f"{report.totals['sales']['rows']}" in text


@pytest.mark.parametrize(
    ("due_at", "day"),
    [("2026-03-02T08:00:00+00:00", date(2026, 3, 1)), ("2026-03-02T00:30:00+02:00", date(2026, 2, 28))],
)
def test_yesterday_is_that_of_the_due_time(due_at: str, day: date) -> None:
    assert services.yesterday(due_at) == day


def test_yesterday_is_that_of_today_for_a_job_that_a_person_starts() -> None:
    assert services.yesterday(None) == (datetime.now(UTC) - timedelta(days=1)).date()


# -- what was forgotten ----------------------------------------------------------------------------------------------------


def age(report: Report, **more: Any) -> None:
    Report.objects.filter(pk=report.pk).update(updated_at=timezone.now() - services.UNTOUCHED_FOR - timedelta(seconds=1), **more)


def test_a_forgotten_report_is_published_again_and_one_that_makes_progress_is_not(report: Report) -> None:
    assert services.resume_unfinished() == 0
    age(report)
    assert services.resume_unfinished() == 1
    assert services.resume_unfinished() == 0
    age(report)
    checkpoints.take(report.work, run())
    assert services.resume_unfinished() == 0
    assert published() == ["reports.generate_large_report"] * 2


def test_a_report_that_was_begun_too_often_has_failed(report: Report) -> None:
    age(report, state="running", starts=services.MOST_STARTS, started_at=timezone.now())

    assert services.resume_unfinished() == 0
    report.refresh_from_db()
    assert (report.state, report.failure_reason) == ("failed", "It was begun 100 times and never came to its end.")


def test_old_reports_go_with_their_files_and_unfinished_ones_stay(report: Report, owner: AbstractBaseUser, storage: Any) -> None:
    make(report)
    report.refresh_from_db()
    waiting = services.request_report(owner=owner, department_code=None, first_day=FIRST_DAY, last_day=LAST_DAY)
    young = services.request_report(owner=owner, department_code=None, first_day=FIRST_DAY, last_day=LAST_DAY)
    make(young)
    Report.objects.filter(pk__in=[report.pk, waiting.pk]).update(created_at=timezone.now() - services.KEPT_FOR - timedelta(days=1))

    # A message that was made by hand deletes no files of a report that is there.
    assert services.delete_files(str(report.pk)) == 0
    assert (services.forget_old_reports(), services.forget_old_reports()) == (1, 0)

    assert set(Report.objects.values_list("pk", flat=True)) == {waiting.pk, young.pk}
    assert published().count("reports.delete_files") == 1
    assert services.delete_files(str(report.pk)) > 0
    assert services.delete_files(str(report.pk)) == 0
    assert not any(storage.exists(file["name"]) for file in report.files.values())
    assert_right(young, storage)
    with pytest.raises(ReportUnknown):
        services.delete_files("x")


def test_the_command_books_samples(db: None) -> None:
    call_command("record_sample_sales", rows=1000, days=3)

    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert (Sale.objects.count(), Return.objects.count(), Expense.objects.count()) == (850, 100, 50)
    assert Sale.objects.latest("booked_at").booked_at.date() == yesterday
    assert Sale.objects.earliest("booked_at").booked_at.date() == yesterday - timedelta(days=2)
    with pytest.raises(CommandError, match="at least one row"):
        call_command("record_sample_sales", rows=0)


def test_a_sheet_that_is_full_is_followed_by_another(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ROWS_PER_SHEET", 10)
    book = documents.Spreadsheet(tmp_path / "report.xlsx")
    book.add("sales", iter([str(number), "2026-01-01", "toys", "kite", "1", "0.07"] for number in range(25)))
    book.add("returns", iter([["1", "2026-01-01", "toys", "kite", "1", "19.99"]]))
    book.close()

    with (tmp_path / "report.xlsx").open("rb") as content:
        found = read_xlsx(content)

    assert isinstance(found, Found)
    assert (dict(found.rows), dict(found.amounts)) == ({"sales": 25, "returns": 1}, {"sales": 175, "returns": 1999})


def test_a_user_with_reports_stays(report: Report, owner: AbstractBaseUser) -> None:
    with pytest.raises(Exception, match="protected"):
        get_user_model().objects.get(pk=owner.pk).delete()
