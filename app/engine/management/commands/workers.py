import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from app.engine.conf import engine_settings
from app.engine.errors import EngineError
from app.engine.workers.records import WorkerRecord
from app.engine.workers.registry import WorkerList, read_workers
from app.engine.workers.report import document_of_all

_LINE = "{:<32} {:<10} {:<24} {:>7} {:>8} {:>9} {:>9}  {:<14} {}"
_MIB = 1024 * 1024


class Command(BaseCommand):
    help = "List the workers, beats and relays: what each is doing, and which were lost in the last hour with the jobs that they ran."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="everything, as GET /api/workers says it")

    def handle(self, *args: Any, **options: Any) -> None:
        now = datetime.now(UTC)
        try:
            workers = read_workers(engine_settings(), now)
        except EngineError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self._document(workers, now)
        else:
            self._lines(workers, now)

    def _document(self, workers: WorkerList, now: datetime) -> None:
        self.stdout.write(json.dumps(document_of_all(workers, now), indent=2, default=lambda moment: moment.isoformat()))

    def _lines(self, workers: WorkerList, now: datetime) -> None:
        if not workers.live:
            self.stdout.write("No worker is alive.")
        if workers.live or workers.lost:
            self.stdout.write(_LINE.format("worker", "state", "queues", "busy", "reserved", "MiB", "heard", "release", "").rstrip())
        for worker in (*workers.lost, *workers.live):
            self._worker(worker, now)
        for service, releases in workers.version_skew.items():
            self.stdout.write(f"Several releases of {service} live: {', '.join(releases)}.")

    def _worker(self, worker: WorkerRecord, now: datetime) -> None:
        queues = ",".join(f"{queue} (paused)" if queue in worker.paused else queue for queue in worker.queues) or "-"
        busy = f"{worker.busy}/{worker.slots}" if worker.slots else "-"
        memory = "-" if worker.memory_bytes is None else str(worker.memory_bytes // _MIB)
        line = _LINE.format(
            worker.hostname,
            worker.state(now).value,
            queues,
            busy,
            worker.reserved if worker.slots else "-",
            memory,
            f"{int((now - worker.seen_at).total_seconds())} s",
            worker.release,
            "protected" if worker.is_protected else "",
        )
        self.stdout.write(line.rstrip())
        for job in worker.running:
            self.stdout.write(f"  {job.task} {job.id} for {int((now - job.started_at).total_seconds())} s")
        if worker.busy > len(worker.running):
            self.stdout.write(f"  and {worker.busy - len(worker.running)} more")
