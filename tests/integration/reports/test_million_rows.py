"""A report of a million rows, whose worker has real time limits that are much too short, then the usual ones."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.reports.following import Watch, Watcher, assert_right, await_done, deploy, request_report
from tests.support.eventually import eventually

ROWS = 1_000_000
#: Three of them are over while the rows are read, on a fast machine, too.
SOFT_LIMIT_SECONDS = 3
MOST_GROWTH_MIB = 100
#: A worker, or a web process, whose messages carry a soft time limit that no report of this size can keep.
HASTY = f"""
import sys
from app.config.celery import celery_app
celery_app.loader.import_default_modules()
celery_app.tasks["reports.generate_large_report"].soft_time_limit = {SOFT_LIMIT_SECONDS}
"""
WEB = """
sys.argv = ["gunicorn", "--config", "python:app.config.gunicorn", "app.config.wsgi:application"]
from gunicorn.app.wsgiapp import run
run()
"""
WORKER = 'celery_app.worker_main(["worker", "--queues", "reports", "--concurrency", "1", "--loglevel", "INFO"])'


class Memory(Watcher):
    """How far any process below this one has grown since it was first seen, in MiB."""

    def __init__(self, main: int) -> None:
        super().__init__()
        self.main, self.growth = main, 0.0
        self._first: dict[str, int] = {}

    def look(self) -> None:
        try:
            children = Path(f"/proc/{self.main}/task/{self.main}/children").read_text().split()
            resident = {child: self._resident_kib(child) for child in children}
        except (OSError, StopIteration):  # one has just ended
            return
        for child, kib in resident.items():
            self.growth = max(self.growth, (kib - self._first.setdefault(child, kib)) / 1024)

    @staticmethod
    def _resident_kib(pid: str) -> int:
        return int(next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])


@pytest.fixture
def deployment(_make_stack: Callable[[Path], Any], tmp_path: Path) -> Iterator[Any]:
    stack = _make_stack(tmp_path)
    try:
        deploy(stack, ROWS)
        stack.start_program("web", HASTY + WEB)
        stack.start("outbox-relay")
        yield stack
    finally:
        stack.stop()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_million_rows_cost_little_memory_and_three_interruptions_cost_no_attempt(deployment: Any) -> None:
    hasty = deployment.start_program("worker-reports", HASTY + WORKER)
    address = request_report(deployment)

    with Watch(deployment, address) as watch:
        with Memory(hasty.process.pid) as first:
            eventually(lambda: deployment.request("GET", address).body["interruptions"], lambda count: count >= 3, within=200)
            assert hasty.stop(within=30) == 0
        (usual,) = deployment.start("worker-reports")
        with Memory(usual.process.pid) as second:
            report = await_done(deployment, address, within=900)

    assert report["interruptions"] >= 3
    assert 0 < first.growth < MOST_GROWTH_MIB
    assert 0 < second.growth < MOST_GROWTH_MIB
    watch.assert_never_fell()
    assert_right(deployment, report)
    # No attempt was burned, and nothing is left.
    for worker in (hasty, usual):
        assert [line for line in worker.lines() if line.get("outcome") in {"retry", "failure"}] == []
    eventually(lambda: sum(deployment.depth("reports")), 0, within=30)
