"""Work as it really came, from the ledger to the simulator."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from app.engine.conf import engine_settings
from app.engine.jobs import arrivals as module
from app.engine.jobs.arrivals import Arrival, arrivals
from app.engine.ledger.records import RESULT_PREFIX
from app.engine.ledger.register import ENQUEUED_PREFIX

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Ledger:
    """Stands where the index of the latest and the items of enqueued jobs are."""

    def __init__(self) -> None:
        self.ended: list[dict[str, Any]] = []
        self.enqueued: dict[str, dict[str, Any]] = {}
        self.read: list[int] = []

    def end(self, task_id: str, *, ago: float, run_ms: int | None = 500, queue: str = "default") -> None:
        item = {"id": {"S": RESULT_PREFIX + task_id}, "recorded_at": {"N": f"{NOW.timestamp() - ago:.3f}"}, "state": {"S": "SUCCESS"}}
        item |= {"task": {"S": "shop.charge"}, "queue": {"S": queue}} | ({} if run_ms is None else {"run_ms": {"N": str(run_ms)}})
        self.ended.append(item)

    def enqueue(self, task_id: str, *, ago: float, due: datetime | None = None) -> None:
        item = {"enqueued_at": {"N": f"{NOW.timestamp() - ago:.3f}"}, "ttl": {"N": f"{(NOW + DAY).timestamp():.0f}"}}
        self.enqueued[ENQUEUED_PREFIX + task_id] = item | ({"eta": {"S": due.isoformat()}} if due else {})

    def newest(self, _settings: Any, _index: Any, value: str | None, *, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
        assert value is None
        moments = [(float(item["recorded_at"]["N"]), item) for item in self.ended]
        yield from (item for at, item in sorted(moments, key=lambda pair: -pair[0]) if since.timestamp() <= at <= until.timestamp())

    def read_items(self, _settings: Any, keys: list[str]) -> dict[str, Any]:
        self.read.append(len(keys))
        return {key: self.enqueued[key] for key in keys if key in self.enqueued}


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    made = Ledger()
    monkeypatch.setattr(module, "newest", made.newest)
    monkeypatch.setattr(module, "read_items", made.read_items)
    return made


def found(since: timedelta = DAY) -> list[tuple[float, float]]:
    """How long ago each came, and how long it ran."""
    return [
        (round(NOW.timestamp() - one.at.timestamp(), 3), one.run_seconds)
        for one in arrivals(engine_settings(), queue="default", since=NOW - since)
    ]


def test_a_job_came_when_it_was_enqueued_and_due(ledger: Ledger) -> None:
    ledger.end("at-once", ago=10)
    ledger.enqueue("at-once", ago=60)
    ledger.end("later", ago=20, run_ms=1500)
    ledger.enqueue("later", ago=3600, due=NOW - timedelta(seconds=100))

    assert found() == [(60, 0.5), (100, 1.5)]


def test_one_that_nobody_recorded_came_when_its_run_began(ledger: Ledger) -> None:
    ledger.end("foreign", ago=10, run_ms=2000)

    assert found() == [(12, 2.0)]


def test_no_run_takes_no_time(ledger: Ledger) -> None:
    ledger.end("short", ago=10, run_ms=0)

    assert [run_seconds for _, run_seconds in found()] == [0.001]


def test_only_ended_runs_of_the_queue_and_the_time_count(ledger: Ledger) -> None:
    ledger.end("other", ago=10, queue="emails")
    ledger.end("begun", ago=10, run_ms=None)
    ledger.end("old", ago=7200)
    ledger.end("new", ago=10)

    assert len(found(timedelta(hours=1))) == 1


def test_items_are_read_by_the_hundred_as_far_as_they_are_asked_for(ledger: Ledger) -> None:
    for number in range(250):
        ledger.end(f"job-{number}", ago=number)

    assert len(found()) == 250
    assert ledger.read == [100, 100, 50]


# -- the command ----------------------------------------------------------------------------------------------------------
Tell = Callable[[list[Arrival]], None]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Tell:
    def tell(result: list[Arrival]) -> None:
        monkeypatch.setattr("app.engine.management.commands.arrivals.arrivals", lambda *_, **__: iter(result))

    return tell


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("arrivals", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


SOME = [Arrival(at=datetime(2026, 1, 2, 12, tzinfo=UTC) + timedelta(seconds=number), run_seconds=0.25) for number in (2, 1, 0)]


def test_the_command_writes_what_the_simulator_reads(told: Tell) -> None:
    told(SOME)

    assert run("default") == ("at,run_seconds\n1767355202.000,0.250\n1767355201.000,0.250\n1767355200.000,0.250\n", "")


def test_it_says_where_it_stopped(told: Tell) -> None:
    told(SOME)

    out, err = run("default", "--limit", "2")

    assert len(out.splitlines()) == 3
    assert "the latest 2; --limit writes more" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["default"], "No job of default has ended since"),
        (["nothing"], "invalid choice: 'nothing'"),
        (["default", "--since=yesterday"], "expected a moment"),
        (["default", "--limit=0"], "expected 1 or more"),
    ],
)
def test_nothing_and_nonsense_are_said(told: Tell, arguments: list[str], said: str) -> None:
    told([])

    with pytest.raises(CommandError, match=said):
        run(*arguments)
