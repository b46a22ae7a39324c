"""PostgreSQL stops, cuts connections, turns read-only or freezes while real workers write to it: no job fails for it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from scripts.laptop.postgres import Postgres
from tests.support.eventually import eventually

pytestmark = pytest.mark.usefixtures("gateway")

#: One effect a job, under a unique key; each run is a line, whether it came to its effect or not.
WORKER = """
import os, time
from celery import shared_task
from django.db import connection, transaction
from app.config.celery import celery_app

def note(line):
    with open(os.environ["JOURNAL"], "a") as lines:
        lines.write(line + "\\n")

@shared_task(name="engine.write", bind=True)
def write(self, job):
    note(f"{job} {self.request.retries}")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO effects (job) VALUES (%s) ON CONFLICT (job) DO UPDATE SET times = effects.times + 1", [job])
        time.sleep(0.02)
    return job

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "4", "--loglevel", "INFO", "--hostname", os.environ["NODE"]])
"""


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of this module's own, because it is stopped."""
    with Postgres(tmp_path_factory.mktemp("own-postgres") / "data") as server:
        yield server


class Shop:
    """A deployment on the server of its own, and what its workers wrote."""

    def __init__(self, stack: Any, server: Postgres, directory: Path) -> None:
        self.stack, self.server, self.journal = stack, server, directory / "journal"
        self.journal.touch()
        self.workers: list[Any] = []
        database = {"HOST": server.host, "PORT": str(server.port), "NAME": server.database, "USER": server.user}
        stack.environment |= {f"DATABASE_{name}": value for name, value in database.items()}
        stack.environment |= {"DATABASE_PASSWORD": server.password, "JOURNAL": str(self.journal)}
        # A duplicate that SQS makes would be a second run.
        stack.network.habits(duplicates=0)
        self.query("DROP TABLE IF EXISTS effects")
        self.query("CREATE TABLE effects (job integer PRIMARY KEY, times integer NOT NULL DEFAULT 1)")

    def start(self, number: int) -> Any:
        self.stack.environment["NODE"] = f"node{number}@test"
        worker = self.stack.start_program("worker-default", WORKER)
        self.workers.append(worker)
        return worker

    def send(self, jobs: int) -> None:
        done = self.stack.python(
            f"from celery import group, signature\ngroup(signature('engine.write', [job]) for job in range({jobs})).apply_async()"
        )
        assert done.returncode == 0, done.stderr

    def query(self, statement: str) -> list[Any]:
        # Also while the server is told to be read-only.
        with psycopg.connect(self.server.url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def effects(self) -> int:
        return int(self.query("SELECT count(*) FROM effects")[0][0])

    def said(self, message: str) -> list[dict[str, Any]]:
        return [line for worker in self.workers for line in worker.lines() if line.get("message") == message]

    def outlive(self, jobs: int, away: Callable[[], None], back: Callable[[], None], seconds: float = 4.0) -> None:
        """All effects, each once, no dead letter, no attempt counted."""
        self.send(jobs)
        eventually(lambda: self.effects() >= jobs // 10, bool, within=60)
        assert self.effects() < jobs
        away()
        deadline = time.monotonic() + seconds
        eventually(lambda: time.monotonic() > deadline, bool, within=seconds + 5)
        back()
        eventually(self.effects, jobs, within=90)
        eventually(lambda: sum(self.stack.depth("default")), 0, within=60)
        assert self.query("SELECT job FROM effects WHERE times <> 1") == []
        assert {line.split()[1] for line in self.journal.read_text().splitlines()} == {"0"}
        attributes = self.stack.sqs.get_queue_attributes(
            QueueUrl=self.stack.dead_letter_url("default"), AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]
        assert attributes["ApproximateNumberOfMessages"] == "0"
        assert self.said("task failed") == []
        # Each worker that noticed says so, and when it is over.
        eventually(lambda: len(self.said("database answers again")), len(self.said("database is away")), within=15)
        assert all(worker.is_running for worker in self.workers)


@pytest.fixture
def shop(stack: Any, own_postgres: Postgres, tmp_path: Path) -> Shop:
    return Shop(stack, own_postgres, tmp_path)


def test_two_hundred_jobs_outlive_a_server_that_is_stopped_for_four_seconds(shop: Shop) -> None:
    shop.start(1)

    shop.outlive(200, shop.server.stop, shop.server.start)

    assert shop.said("job put off")
    assert [len(shop.said(line)) for line in ("database is away", "database answers again")] == [1, 1]


@pytest.mark.long
def test_two_workers_outlive_a_server_that_is_stopped_for_a_minute(shop: Shop) -> None:
    for number in range(2):
        shop.start(number)

    shop.outlive(400, shop.server.stop, shop.server.start, seconds=60)


@pytest.mark.long
def test_connections_that_are_cut_again_and_again(shop: Shop) -> None:
    others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"

    def cut_eight_times() -> None:
        for _ in range(8):
            before = shop.effects()
            shop.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608 — no one else's words
            eventually(lambda before=before: shop.effects() > before, bool, within=30)  # type: ignore[misc]

    shop.start(1)

    shop.outlive(400, cut_eight_times, lambda: None, seconds=0)


@pytest.mark.long
def test_a_server_that_is_read_only_for_a_while_as_in_a_failover(shop: Shop) -> None:
    def read_only(setting: str) -> None:
        shop.query(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
        shop.query("SELECT pg_reload_conf()")

    shop.start(1)

    shop.outlive(200, lambda: read_only("on"), lambda: read_only("off"))

    assert shop.said("database is away")


@pytest.mark.long
def test_a_server_that_is_frozen(shop: Shop) -> None:
    def send_all(number: signal.Signals) -> None:
        for process in psutil.process_iter(["name"]):
            with suppress(psutil.Error):
                if process.info["name"] == "postgres" and Path(process.cwd()) == shop.server.cluster:
                    os.kill(process.pid, number)

    shop.start(1)

    # Longer than connecting may take.
    shop.outlive(200, lambda: send_all(signal.SIGSTOP), lambda: send_all(signal.SIGCONT), seconds=8)
