"""The list of workers: who lives, and who was lost."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.conf import EngineSettings
from app.engine.workers.records import FORGOTTEN_AFTER, WorkerRecord, WorkerState, item_of, record_of
from app.topology.naming import table_name
from app.topology.tables import WORKERS


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerList:
    """Workers, beats and relays, each by service and host name."""

    live: tuple[WorkerRecord, ...]
    """Those that were heard of lately, draining and stopping ones included."""
    lost: tuple[WorkerRecord, ...] = ()
    """Those that fell silent without a word in the last hour. What they ran comes again when its visibility lapses."""

    @property
    def version_skew(self) -> dict[str, tuple[str, ...]]:
        """The services of which several releases live, as they do during a deployment."""
        return version_skew(self.live)


def read_workers(settings: EngineSettings, now: datetime) -> WorkerList:
    """One strongly consistent scan of a table with an item a worker.

    Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``.
    """
    items: list[Mapping[str, Any]] = []
    with translated("read the list of workers"):
        for page in clients.dynamodb(settings).get_paginator("scan").paginate(TableName=_table(settings), ConsistentRead=True):
            items += page["Items"]
    return listed(map(record_of, items), now)


def listed(workers: Iterable[WorkerRecord], now: datetime) -> WorkerList:
    # DynamoDB deletes what has expired within days, not at once.
    known = sorted(
        (worker for worker in workers if now - worker.seen_at < FORGOTTEN_AFTER), key=lambda worker: (worker.service, worker.hostname)
    )
    return WorkerList(
        live=tuple(worker for worker in known if worker.state(now) is not WorkerState.LOST),
        lost=tuple(worker for worker in known if worker.state(now) is WorkerState.LOST),
    )


def live_workers(settings: EngineSettings, now: datetime) -> tuple[WorkerRecord, ...]:
    """Those heard of within 20 seconds. Raises what :func:`read_workers` raises."""
    return read_workers(settings, now).live


def version_skew(workers: Iterable[WorkerRecord]) -> dict[str, tuple[str, ...]]:
    releases: dict[str, set[str]] = defaultdict(set)
    for worker in workers:
        releases[worker.service].add(worker.release)
    return {service: tuple(sorted(found)) for service, found in sorted(releases.items()) if len(found) > 1}


class Entry:
    """The item of one process in the list.

    A write whose answer never came may still be carried out, after the process has signed off: it would be shown as lost. So each but
    the first is made only where the item of this process stands.

    | none, or another's ── first report ──▶ ours ── is_ours: report ──▶ ours ── is_ours: remove ──▶ none |
    | expired, or overwritten by a process of the same name ── report refused, the next one counts as the first |
    """

    def __init__(self, settings: EngineSettings, hostname: str) -> None:
        self._settings = settings
        self._key = {WORKERS.partition_key.name: {"S": hostname}}
        self._is_ours: Any = {
            "ConditionExpression": "#process = :process",
            "ExpressionAttributeNames": {"#process": "process"},
            "ExpressionAttributeValues": {":process": {"S": uuid4().hex}},
        }
        self._is_listed = False

    def report(self, worker: WorkerRecord) -> None:
        """Write the item. Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``."""
        item = item_of(worker) | {"process": self._is_ours["ExpressionAttributeValues"][":process"]}
        with translated("report this worker"):
            client = clients.dynamodb(self._settings)
            try:
                client.put_item(TableName=_table(self._settings), Item=item, **(self._is_ours if self._is_listed else {}))
                self._is_listed = True
            except client.exceptions.ConditionalCheckFailedException:
                self._is_listed = False

    def remove(self) -> None:
        """Delete the item of a process that stops in order. Raises what :meth:`report` raises."""
        with translated("sign this worker off"):
            client = clients.dynamodb(self._settings)
            try:
                client.delete_item(TableName=_table(self._settings), Key=self._key, **self._is_ours)
            except client.exceptions.ConditionalCheckFailedException:
                return  # never listed, or the name is another's by now


def _table(settings: EngineSettings) -> str:
    return table_name(settings.name_prefix, WORKERS.name)
