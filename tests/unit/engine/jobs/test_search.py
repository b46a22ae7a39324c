"""Pages of an index: newest first, each job once, whatever was written at one moment."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import states as celery_states

from app.engine.conf import engine_settings
from app.engine.jobs.errors import NotSearchable
from app.engine.jobs.search import FoundJob, Wanted, find_jobs
from app.engine.jobs.states import JobState
from app.engine.ledger import search as module
from app.engine.ledger.records import RESULT_PREFIX, day_shards, shard_of, sharded
from app.topology import IndexPolicy

NOW = datetime.now(UTC)


class Index:
    """Stands where DynamoDB's indexes do, and notes which partitions are asked."""

    def __init__(self) -> None:
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, str]] = []

    def add(self, number: int, *, ago: float, state: str = celery_states.SUCCESS, **more: str) -> None:
        task_id = f"job-{number:04}"
        at = (NOW - timedelta(seconds=ago)).timestamp()
        item = {"id": {"S": RESULT_PREFIX + task_id}, "recorded_at": {"N": f"{at:.3f}"}, "state": {"S": state}}
        item |= {name: {"S": text} for name, text in {"task": "shop.charge", "queue": "default", **more}.items()}
        shard = shard_of(task_id)
        self.items.setdefault(day_shards(datetime.fromtimestamp(at, UTC))[shard], []).append(item)
        self.items.setdefault(sharded(state, shard), []).append(item)

    def pages(self, _settings: Any, index: IndexPolicy, shard: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
        self.asked.append((index.name, shard))
        found = [item for item in self.items.get(shard, ()) if since.timestamp() <= float(item["recorded_at"]["N"]) <= until.timestamp()]
        # In the order of their moments; those of one moment in none.
        yield from sorted(found, key=lambda item: -float(item["recorded_at"]["N"]))


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index()
    monkeypatch.setattr(module, "_pages", made.pages)
    return made


def all_pages(wanted: Wanted, limit: int) -> list[list[FoundJob]]:
    pages: list[list[FoundJob]] = []
    after = None
    while True:
        page = find_jobs(engine_settings(), wanted, limit=limit, after=after)
        pages.append(list(page.jobs))
        if (after := page.next) is None:
            return pages


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_every_job_is_on_one_page_in_the_order_of_time(index: Index, limit: int) -> None:
    for number in range(40):
        index.add(number, ago=number // 10 * 60)  # ten at a moment

    pages = all_pages(Wanted(), limit)

    found = [job.id for page in pages for job in page]
    assert sorted(found) == [f"job-{number:04}" for number in range(40)]
    assert [int(task_id[-4:]) // 10 for task_id in found] == [moment for moment in range(4) for _ in range(10)]
    assert max(map(len, pages)) <= limit


def test_days_are_asked_one_after_the_other_as_far_as_is_needed(index: Index) -> None:
    index.add(1, ago=0)
    index.add(2, ago=timedelta(days=3).total_seconds())

    assert len(all_pages(Wanted(), 10)[0]) == 2
    asked = len(index.asked)
    assert [job.id for page in all_pages(Wanted(since=NOW - timedelta(hours=1)), 10) for job in page] == ["job-0001"]
    assert len(index.asked) - asked <= 8


def test_what_has_expired_is_not_served(index: Index) -> None:
    index.add(1, ago=(engine_settings().result_ttl + timedelta(minutes=1)).total_seconds())

    assert all_pages(Wanted(since=NOW - timedelta(days=300)), 10) == [[]]


def test_a_state_that_has_an_index_is_found_there(index: Index) -> None:
    index.add(1, ago=1)
    index.add(2, ago=2, state=celery_states.FAILURE, error="ValueError: no", fingerprint="0a1b")

    ((job,),) = all_pages(Wanted(state=JobState.FAILED), 10)
    assert (job.id, job.error, job.fingerprint) == ("job-0002", "ValueError: no", "0a1b")
    assert {name for name, _ in index.asked} == {"state"}


def test_a_record_that_has_changed_since_it_was_indexed_is_not_listed_as_what_it_was(index: Index) -> None:
    index.add(1, ago=1, state=celery_states.RETRY)
    for items in index.items.values():
        items[0]["state"] = {"S": celery_states.STARTED}

    assert all_pages(Wanted(state=JobState.RETRYING), 10) == [[]]


def test_filters_narrow_the_pages_and_a_long_way_is_gone_page_by_page(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.jobs.search.MOST_EXAMINED", 10)
    for number in range(35):
        index.add(number, ago=number, task="shop.rare" if number == 33 else "shop.charge")

    pages = all_pages(Wanted(task="shop.rare"), 5)

    assert [job.id for page in pages for job in page] == ["job-0033"]
    assert len(pages) == 4


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SCHEDULED])
def test_what_no_index_lists_is_refused(state: JobState) -> None:
    with pytest.raises(NotSearchable, match=f"that are {state}"):
        find_jobs(engine_settings(), Wanted(state=state), limit=1)
