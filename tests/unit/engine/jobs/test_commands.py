"""What the commands print, and with which status they end."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from app.engine.aws.errors import AwsUnavailable
from app.engine.jobs.errors import NotCertain, NotSearchable
from app.engine.jobs.queueing import Queueing
from app.engine.jobs.search import FoundJob, Page, Place, Wanted
from app.engine.jobs.states import JobState
from app.engine.jobs.whereabouts import Whereabouts

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def answer(result: Whereabouts | Exception) -> None:
        def find_job(*_: Any) -> Whereabouts:
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr("app.engine.management.commands.job.find_job", find_job)

    return answer


def test_a_job_is_told_line_by_line(found: Callable[..., None]) -> None:
    queueing = Queueing(position=1200, per_minute=60.0, wait=timedelta(minutes=20))
    found(
        Whereabouts(id="1", state=JobState.QUEUED, task="shop.charge", queue="default", enqueued_at=NOON, origin="7@web", queueing=queueing)
    )

    assert run("job", "1").splitlines() == [
        "queued",
        "task           shop.charge",
        "queue          default",
        "enqueued       2026-01-02 12:00:00 UTC by 7@web",
        "position       at most 1,200, approximately",
        "wait           some 0:20:00 at the 60 jobs a minute of late",
    ]


@pytest.mark.parametrize(
    ("result", "status", "said"),
    [
        (Whereabouts(id="1", state=None, reason="never enqueued here"), 1, "never enqueued here. Records are kept for 168 hours"),
        (Whereabouts(id="1", state=None, reason="SQS did not take it"), 1, "was not enqueued: SQS did not take it"),
        (NotCertain("the outbox"), 3, "Not certain: the outbox"),
        (AwsUnavailable("the ledger"), 3, "Not certain: the ledger"),
    ],
    ids=["never", "not sent", "no database", "no ledger"],
)
def test_what_is_not_known_has_a_status_of_its_own(found: Callable[..., None], result: Any, status: int, said: str) -> None:
    found(result)

    with pytest.raises(CommandError, match=said) as raised:
        run("job", "1")
    assert raised.value.returncode == status


def test_an_absurd_id_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(CommandError, match="1 to 255 characters") as raised:
        run("job", "x" * 300)
    assert raised.value.returncode == 2


def test_programs_get_every_field(found: Callable[..., None]) -> None:
    found(Whereabouts(id="1", state=JobState.STARTED, started_at=NOON, progress={"state": "PROGRESS", "meta": [1, {"a": "ü"}]}))

    told = json.loads(run("job", "1", "--json"))
    assert (told["state"], told["started_at"], told["progress"]["meta"]) == ("started", "2026-01-02T12:00:00.000+00:00", [1, {"a": "ü"}])
    assert told["queueing"] is None


# -- many -----------------------------------------------------------------------------------------------------------------------


class Listing:
    """Two jobs a page, three pages."""

    def __init__(self) -> None:
        self.asked: list[tuple[Wanted, int, Place | None]] = []
        self.error: Exception | None = None
        self.pages = 3

    def find_jobs(self, _settings: Any, wanted: Wanted, *, limit: int, after: Place | None) -> Page:
        if self.error is not None:
            raise self.error
        self.asked.append((wanted, limit, after))
        number = len(self.asked)
        jobs = tuple(
            FoundJob(id=f"{number}-{part}", state=JobState.FAILED, task="shop.charge", queue="default", at=NOON, error="ValueError: no")
            for part in range(min(2, limit))
        )
        return Page(jobs=jobs, next=Place(at=1.0, key=str(number)) if number < self.pages else None)


@pytest.fixture
def listing(monkeypatch: pytest.MonkeyPatch) -> Listing:
    made = Listing()
    monkeypatch.setattr("app.engine.management.commands.jobs.find_jobs", made.find_jobs)
    return made


def test_pages_are_read_until_there_are_enough(listing: Listing) -> None:
    lines = run("jobs", "--limit", "3").splitlines()

    assert [line.split()[3] for line in lines[1:] if "shop.charge" in line] == ["1-0", "1-1", "2-0"]
    assert lines[-1] == "These are the newest 3; --limit shows more."
    assert [limit for _, limit, _ in listing.asked] == [3, 1]


def test_the_last_page_ends_the_list(listing: Listing) -> None:
    assert len(run("jobs", "--json").splitlines()) == 6


def test_what_is_asked_for_is_passed_on(listing: Listing) -> None:
    run("jobs", "--state", "failed", "--task", "t", "--queue", "q", "--tenant", "a", "--fingerprint", "f", "--since", "2026-01-02T12:00")

    (wanted, _, _), *_ = listing.asked
    assert wanted == Wanted(state=JobState.FAILED, task="t", queue="q", tenant="a", fingerprint="f", since=NOON)


@pytest.mark.parametrize(("since", "ago"), [("2:00:00", timedelta(hours=2)), ("1 day", timedelta(days=1))])
def test_a_duration_is_counted_from_now(listing: Listing, since: str, ago: timedelta) -> None:
    run("jobs", "--since", since)

    asked = listing.asked[0][0].since
    assert asked is not None
    assert abs(datetime.now(UTC) - ago - asked) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "arguments", [("--state", "done"), ("--since", "yesterday"), ("--since", "2026-99-99T00:00"), ("--since", "-1 day"), ("--limit", "0")]
)
def test_nonsense_is_refused(listing: Listing, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("jobs", *(f"{arguments[0]}={value}" for value in arguments[1:]))


def test_what_no_index_lists_is_said(listing: Listing) -> None:
    listing.error = NotSearchable("No index lists jobs that are queued.")

    with pytest.raises(CommandError, match="No index"):
        run("jobs", "--state", "queued")
