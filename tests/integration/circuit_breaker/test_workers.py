"""Real workers behind one breaker: no call leaves while it is open, no attempt is burned, one probe at a time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import REPOSITORY
from tests.support.eventually import eventually

PAUSE, LEASE, FAILURES = 6, 4, 5
#: Each call that leaves is a line of the journal; the partner does what the file says.
WORKER = f"""
import os, time
from datetime import timedelta
from pathlib import Path
from celery import shared_task
from app.config.celery import celery_app
from app.engine.circuit_breaker import BreakerPolicy, breaker
from app.engine.errors import TransientError

POLICY = BreakerPolicy(failures={FAILURES}, pause=timedelta(seconds={PAUSE}), probe_lease=timedelta(seconds={LEASE}))
class Away(TransientError): pass

@shared_task(name="engine.call_partner", bind=True, max_retries=0)
def call_partner(self, job):
    with breaker("partner", POLICY).call():
        mode = Path(os.environ["PARTNER"]).read_text()
        with open(os.environ["JOURNAL"], "a") as lines:
            lines.write(f"{{os.environ['NODE']}} {{os.getpid()}} {{job}} {{self.request.retries}} {{mode}} {{time.time()}}\\n")
        if mode == "hang":
            time.sleep(60)
        if mode == "fail":
            raise Away("500")
        time.sleep(0.3)
    return job

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "2", "--loglevel", "INFO", "--hostname", os.environ["NODE"]])
"""


class Partners:
    def __init__(self, stack: Any, directory: Path) -> None:
        self.stack, self.partner, self.journal = stack, directory / "partner", directory / "journal"
        stack.environment |= {"PARTNER": str(self.partner), "JOURNAL": str(self.journal)}
        # A duplicate that SQS makes would be a second run, an answer that it loses a second receive.
        stack.network.habits(duplicates=0, lost_receives=0)
        self.does("work")

    def does(self, mode: str) -> None:
        self.partner.write_text(mode)
        self.journal.write_text("")

    def start(self, node: str) -> Any:
        self.stack.environment["NODE"] = f"{node}@test"
        return self.stack.start_program("worker-default", WORKER)

    def send(self, *jobs: str) -> None:
        ids = [f"job-{job}" for job in jobs]
        code = f"from app.config.celery import celery_app\nfor job in {ids!r}:\n    celery_app.send_task('engine.call_partner', [job], task_id=job, queue='default')"
        done = self.stack.python(code)
        assert done.returncode == 0, done.stderr

    def calls(self) -> list[list[str]]:
        return [line.split() for line in self.journal.read_text().splitlines()]

    def record(self, job: str) -> dict[str, Any]:
        found = self.stack.dynamodb.scan(TableName=self.stack.table("ledger"), ConsistentRead=True)["Items"]
        return next((item for item in found if item["id"]["S"].endswith(f"job-{job}")), {})

    def breaker(self) -> dict[str, Any]:
        told: list[dict[str, Any]] = json.loads(self.stack.manage("breakers", "list", "--json").stdout)
        return told[0] if told else {}

    def said(self, message: str) -> list[dict[str, Any]]:
        return [line for service in self.stack.services for line in service.lines() if line.get("message") == message]

    def open(self, *jobs: str) -> None:
        self.does("fail")
        self.send(*jobs)
        (opened, *_) = eventually(lambda: self.said("breaker opened"), within=20)
        known_at = datetime.fromisoformat(opened["at"]) + timedelta(seconds=1.1)  # as long as a process may not know it
        eventually(lambda: datetime.now(UTC) > known_at)


@pytest.fixture(scope="module")
def _deployment(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = _make_stack(tmp_path_factory.mktemp("breakers"))
    yield made
    made.stop()


@pytest.fixture
def partners(_deployment: Any, tmp_path: Path) -> Iterator[Partners]:
    yield Partners(_deployment, tmp_path)
    for service in _deployment.services:
        service.kill()
    _deployment.services.clear()
    _deployment.manage("breakers", "reset", "partner")


#: In one process, because the pause is short: fill the breaker, and send the others as soon as it is open.
SENDER = """
import os, time
from pathlib import Path
from app.config.celery import celery_app
from app.engine.circuit_breaker import State, shared_records
def send(job):
    celery_app.send_task("engine.call_partner", [job], task_id=job, queue="default")
for number in range({failures}):
    send(f"job-f{{number}}")
while shared_records().read("partner").state(time.time()) is not State.OPEN:
    time.sleep(0.05)
time.sleep(1.1)  # as long as a worker may not know it
Path(os.environ["PARTNER"]).write_text("work")
for number in range({waiting}):
    send(f"job-w{{number}}")
"""


def test_it_opens_for_all_workers_and_refused_jobs_lose_neither_attempt_nor_receive(partners: Partners) -> None:
    partners.start("one")
    partners.start("two")
    partners.does("fail")
    waiting = [f"w{number}" for number in range(8)]
    done = partners.stack.python(SENDER.format(failures=FAILURES, waiting=len(waiting)))
    assert done.returncode == 0, done.stderr

    eventually(lambda: len([call for call in partners.calls() if call[4] == "work"]), len(waiting), within=40)
    failed = [call for call in partners.calls() if call[4] == "fail"]
    assert len(failed) == FAILURES
    assert {call[0] for call in failed} == {"one@test", "two@test"}
    (opened,) = partners.said("breaker opened")
    first = min(float(call[5]) for call in partners.calls() if call[4] == "work")
    assert first - datetime.fromisoformat(opened["at"]).timestamp() > PAUSE - 1, "no call leaves while it is open and known"
    refused = {line["task_id"] for line in partners.said("job put off") if "partner" in line["reason"]}
    assert refused, "those that came meanwhile were refused before they were called"
    assert refused <= {f"job-{job}" for job in waiting}

    eventually(lambda: [partners.record(job).get("state", {}).get("S") for job in waiting], ["SUCCESS"] * len(waiting))
    records = [partners.record(job) for job in waiting]
    assert {(record["attempts"]["N"], record["receives"]["N"]) for record in records} == {("1", "1")}
    assert {call[3] for call in partners.calls()} == {"0"}
    assert partners.breaker()["state"] == "closed"
    assert len(partners.said("breaker probed")) == 1


RIVAL = """
import os, sys, time
from datetime import timedelta
from app.engine.circuit_breaker import BreakerPolicy, CircuitOpen, breaker
POLICY = BreakerPolicy(pause=timedelta(seconds=1), probe_lease=timedelta(seconds=30))
print("ready", flush=True)
sys.stdin.readline()
try:
    with breaker("contested", POLICY).call():
        print("probe", flush=True)
        time.sleep(2)
except CircuitOpen:
    print("refused", flush=True)
"""


def test_of_six_processes_at_once_one_is_the_probe(partners: Partners) -> None:
    stack = partners.stack
    item = {"name": "contested", "failures": 5, "limit": 5, "openings": 1, "open_until": int(time.time()) - 1}
    stack.dynamodb.put_item(
        TableName=stack.table("breakers"),
        Item={name: {"S": value} if isinstance(value, str) else {"N": str(value)} for name, value in item.items()},
    )
    preamble = "from app.config.environment import use_settings\nuse_settings()\nimport django\ndjango.setup()\n"
    command = [sys.executable, "-c", preamble + RIVAL]
    pipe = subprocess.PIPE
    rivals = [
        subprocess.Popen(command, cwd=REPOSITORY, env=stack.environment, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        for _ in range(6)
    ]
    try:
        for rival in rivals:
            assert rival.stdout is not None
            assert rival.stdout.readline() == "ready\n"
        for rival in rivals:
            assert rival.stdin is not None
            rival.stdin.write("\n")
            rival.stdin.flush()
        outcomes = sorted(rival.communicate(timeout=20)[0].strip() for rival in rivals)
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()
    assert outcomes == ["probe"] + ["refused"] * 5


@pytest.mark.long
def test_a_probe_that_is_killed_is_followed_by_another_when_its_lease_is_over(partners: Partners) -> None:
    partners.start("one")
    partners.open(*(f"g{number}" for number in range(FAILURES)))
    partners.does("hang")
    time_of_probe = time.time()
    partners.send("p1", "p2", "p3", "p4")
    (probe,) = eventually(partners.calls, within=20)

    partners.does("work")
    os.kill(int(probe[1]), signal.SIGKILL)

    eventually(lambda: len({call[2] for call in partners.calls()}), 4, within=120)
    assert time.time() - time_of_probe > LEASE
    assert partners.breaker()["state"] == "closed"
    # Processes that write at the same time may share a line.
    eventually(lambda: sum(service.log.read_text().count('"breaker probed"') for service in partners.stack.services), 2, within=20)
