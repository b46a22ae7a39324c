"""Which jobs there are: by state, task, queue, tenant, fingerprint and time, newest first, page by page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from app.engine.conf import EngineSettings
from app.engine.jobs.errors import NotSearchable
from app.engine.jobs.facts import Facts, keys_of, recorded, text_of
from app.engine.jobs.states import BY_CELERY_S_WORD, JobState, decide
from app.engine.ledger.reading import read_items
from app.engine.ledger.records import BY_FINGERPRINT, BY_STATE, INDEX, SEARCHED_STATES, read_record
from app.engine.ledger.register import BY_TENANT, ENQUEUED_PREFIX
from app.engine.ledger.search import newest, place_of
from app.engine.workers.registry import live_workers

#: Of the index, for one page: filters must not make a request last for minutes. Where it ends, the cursor goes on.
MOST_EXAMINED = 2_000
#: Keys of jobs that DynamoDB is asked for together.
_PER_READ = 33

_IN_THE_INDEX = {BY_CELERY_S_WORD[state]: state for state in SEARCHED_STATES}
#: Found among the latest, as far as they go.
_AMONG_THE_LATEST = frozenset({JobState.SUCCEEDED, JobState.IGNORED})
SEARCHABLE = (*sorted(_IN_THE_INDEX), JobState.STARTED, *sorted(_AMONG_THE_LATEST))


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """``None`` leaves it open."""

    state: JobState | None = None
    task: str | None = None
    queue: str | None = None
    tenant: str | None = None
    fingerprint: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, job: "FoundJob") -> bool:
        return (
            self.state in (None, job.state)
            and self.task in (None, job.task)
            and self.queue in (None, job.queue)
            and self.fingerprint in (None, job.fingerprint)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundJob:
    id: str
    state: JobState
    task: str
    queue: str
    at: datetime
    """When it reported its state; of a running one, when its run began; of a tenant's, when it was enqueued."""
    tenant: str = ""
    attempts: int | None = None
    worker: str = ""
    error: str = ""
    fingerprint: str = ""
    run_seconds: float | None = None

    def as_document(self) -> dict[str, Any]:
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return told | {"state": str(self.state), "at": self.at.isoformat(timespec="milliseconds")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a page ended."""

    at: float
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    jobs: tuple[FoundJob, ...]
    next: Place | None
    """``None`` on the last page. A page that has few jobs, or none, and a next one, had to examine very many."""


def find_jobs(settings: EngineSettings, wanted: Wanted, *, limit: int, after: Place | None = None) -> Page:
    """The newest jobs that fit, at most ``limit``, after that place. Indexes are a second behind.

    Raises :class:`~app.engine.jobs.errors.NotSearchable` for what no index lists, :class:`~app.engine.aws.errors.AwsUnavailable` or
    ``AwsRefused``.
    """
    if wanted.state is JobState.STARTED and wanted.tenant is None and wanted.fingerprint is None:
        return Page(jobs=tuple(islice(_running(settings, wanted), limit)), next=None)
    if wanted.state not in (None, *SEARCHABLE) and wanted.tenant is None:
        raise NotSearchable(
            f"No index lists jobs that are {wanted.state}. What waits in queues is counted in the console; `delayed` lists what waits for its "
            "time; one job by its id, or a tenant's jobs, are found in every state."
        )
    items = _newest(settings, wanted, after)
    if wanted.tenant is not None:
        return _page_of_tenant(settings, wanted, items, limit)
    return _page(wanted, ((item, _from_record(item)) for item in items), limit)


def _newest(settings: EngineSettings, wanted: Wanted, after: Place | None) -> Iterator[Mapping[str, Any]]:
    now = datetime.now(UTC)
    # What is older has expired, also where DynamoDB has not deleted it yet.
    oldest = now - settings.result_ttl
    since = max(wanted.since or oldest, oldest)
    until = min(wanted.until or now, now)
    if after is not None:
        until = min(until, datetime.fromtimestamp(after.at, UTC) + timedelta(milliseconds=1))
    if wanted.tenant is not None:
        index, value = BY_TENANT, wanted.tenant
    elif wanted.fingerprint is not None:
        index, value = BY_FINGERPRINT, wanted.fingerprint
    elif wanted.state in _IN_THE_INDEX:
        index, value = BY_STATE, _IN_THE_INDEX[wanted.state]
    else:
        index, value = INDEX, None
    for item in newest(settings, index, value, since=since, until=until):
        if after is None or place_of(item) < (after.at, after.key):
            yield item


def _page(wanted: Wanted, candidates: Iterator[tuple[Mapping[str, Any], FoundJob | None]], limit: int) -> Page:
    jobs: list[FoundJob] = []
    for examined, (item, job) in enumerate(candidates, start=1):
        if job is not None and wanted.fits(job):
            jobs.append(job)
        if len(jobs) == limit or examined == MOST_EXAMINED:
            at, key = place_of(item)
            return Page(jobs=tuple(jobs), next=Place(at=at, key=key))
    return Page(jobs=tuple(jobs), next=None)


def _from_record(item: Mapping[str, Any]) -> FoundJob:
    record = read_record(item)
    return FoundJob(
        id=record.id,
        state=BY_CELERY_S_WORD.get(record.state, JobState.STARTED),
        task=record.task,
        queue=record.queue,
        at=record.recorded_at,
        attempts=record.attempts,
        worker=record.worker,
        error=record.error,
        fingerprint=record.fingerprint,
        run_seconds=None if record.run_time is None else record.run_time.total_seconds(),
    )


# -- of a tenant --------------------------------------------------------------------------------------------------------------


def _page_of_tenant(settings: EngineSettings, wanted: Wanted, items: Iterator[Mapping[str, Any]], limit: int) -> Page:
    def candidates() -> Iterator[tuple[Mapping[str, Any], FoundJob | None]]:
        while some := list(islice(items, _PER_READ)):
            ids = [text_of(item, "id").removeprefix(ENQUEUED_PREFIX) for item in some]
            read = read_items(settings, [key for task_id in ids for key in keys_of(task_id)])
            for item, task_id in zip(some, ids, strict=True):
                yield item, _from_items(item, task_id, read)

    return _page(wanted, candidates(), limit)


def _from_items(found: Mapping[str, Any], task_id: str, items: Mapping[str, Mapping[str, Any]]) -> FoundJob | None:
    now = datetime.now(UTC)
    known = recorded(items, task_id, now)
    run = known.run
    state = decide(Facts(task_id=task_id, at=now, run=run, enqueued=known.enqueued, awaited=known.awaited, sent_back=known.sent_back)).state
    if state is None:
        return None
    run_ms = run.whole("run_ms") if run else None
    return FoundJob(
        id=task_id,
        state=state,
        task=text_of(found, "task"),
        queue=text_of(found, "queue"),
        tenant=text_of(found, "tenant"),
        at=datetime.fromtimestamp(place_of(found)[0], UTC),
        attempts=run.whole("attempts") if run else None,
        worker=run.text("worker") if run else "",
        error=run.text("error") if run else "",
        fingerprint=run.text("fingerprint") if run else "",
        run_seconds=None if run_ms is None else run_ms / 1000,
    )


# -- running now --------------------------------------------------------------------------------------------------------------


def _running(settings: EngineSettings, wanted: Wanted) -> Iterator[FoundJob]:
    """What the living workers say that they run: every five seconds. The longest first."""
    since, until = wanted.since, wanted.until
    running = [
        FoundJob(
            id=job.id,
            state=JobState.STARTED,
            task=job.task,
            queue=queue_of.name if (queue_of := settings.topology.queue_for(job.task)) is not None else "",
            at=job.started_at,
            worker=worker.hostname,
        )
        for worker in live_workers(settings, datetime.now(UTC))
        for job in worker.running
    ]
    for job in sorted(running, key=lambda job: job.at):
        if wanted.fits(job) and (since is None or job.at >= since) and (until is None or job.at <= until):
            yield job
