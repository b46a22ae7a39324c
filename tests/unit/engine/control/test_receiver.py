"""What a worker does with the letters that it reads."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from celery import bootsteps, current_app
from celery.worker import state
from kombu import Queue

from app.engine.control import RemoteControl
from app.engine.control.letters import Letter
from app.engine.control.reader import Reader
from app.topology import TOPOLOGY
from tests.unit.engine.control.log import Log

OURS, OTHER = TOPOLOGY.queues[0].name, TOPOLOGY.queues[1].name


class TaskConsumer:
    """kombu's, as far as a gate uses it."""

    def __init__(self, *queues: str) -> None:
        self.queues = [Queue(name) for name in queues]
        self.active: set[str] = set()

    def consuming_from(self, name: str) -> bool:
        return name in self.active

    def add_queue(self, queue: Queue) -> None:
        self.queues.append(queue)

    def consume(self) -> None:
        self.active = {queue.name for queue in self.queues}

    def cancel_by_queue(self, name: str) -> None:
        self.active.discard(name)
        self.queues = [queue for queue in self.queues if queue.name != name]


class Worker:
    """A worker that is told by its log, one poll at a time, in this thread."""

    hostname = "one@h"
    blueprint = SimpleNamespace(state=bootsteps.RUN)
    controller = SimpleNamespace(use_eventloop=True)

    def __init__(self) -> None:
        self.log = Log()
        queues = {name: Queue(name) for name in (OURS, OTHER)}
        self.app = SimpleNamespace(
            conf=current_app.conf, tasks=current_app.tasks, amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=queues))
        )
        self.task_consumer = TaskConsumer(*queues)
        self.step = RemoteControl(self)
        self.step._reader = Reader(self.log)
        self.step._gate.attach(self)

    def call_soon(self, call: Any, *arguments: Any) -> None:
        call(*arguments)

    def poll(self) -> None:
        self.step._read(self)

    def answered(self) -> list[Any]:
        found = []
        while not self.step._answers.empty():
            found.append(self.step._answers.get())
        return found


@pytest.fixture
def worker() -> Iterator[Worker]:
    kept = (state.revoked.maxlen, state.revoked.expires)
    yield Worker()
    state.revoked.clear()
    state.revoked.maxlen, state.revoked.expires = kept


def test_it_receives_from_nothing_until_it_knows_and_then_from_what_is_not_paused(worker: Worker) -> None:
    worker.log.write(1, "pause_queue", queue=OTHER)
    worker.log.fails_at = {1}
    worker.task_consumer.consume()

    worker.poll()
    assert worker.task_consumer.active == set()
    worker.poll()
    assert worker.task_consumer.active == {OURS}


def test_what_was_read_before_a_read_failed_is_heeded(worker: Worker) -> None:
    worker.log.write(1, "revoke", task_id=["a"])
    worker.log.write(2)
    worker.log.write(3, "revoke", task_id=["b"])
    worker.log.hidden, worker.log.fails_at = {2}, {2}

    worker.poll()
    worker.log.hidden = set()
    worker.poll()

    assert set(state.revoked) == {"a", "b"}
    assert worker.task_consumer.active == {OURS, OTHER}


def test_a_command_is_carried_out_once_although_the_consumer_starts_again(worker: Worker) -> None:
    worker.poll()
    worker.log.write(1, "rate_limit", task_name="engine.debug_task", rate_limit="no rate")
    worker.log.letters = [_with_ticket(posted) for posted in worker.log.letters]

    worker.poll()
    worker.step._gate.attach(worker)
    worker.poll()

    ((letter, reply),) = worker.answered()
    assert letter.method == "rate_limit"
    assert "Invalid rate limit" in reply["error"]


def test_a_command_that_this_version_does_not_know_is_answered(worker: Worker) -> None:
    worker.poll()
    worker.log.write(1, "levitate")
    worker.log.letters = [_with_ticket(posted) for posted in worker.log.letters]

    worker.poll()

    ((_, reply),) = worker.answered()
    assert reply == {"error": "this worker does not know the command levitate"}


def test_a_command_that_raises_is_answered_and_those_behind_it_are_carried_out(worker: Worker) -> None:
    worker.poll()
    worker.log.write(1, "pause_queue")
    worker.log.write(2, "revoke", task_id="a")
    worker.log.letters = [_with_ticket(posted) for posted in worker.log.letters]

    worker.poll()

    (_, refused), (_, said) = worker.answered()
    assert "queue" in refused["error"]
    assert said == {"ok": "tasks a flagged as revoked"}


def test_it_remembers_more_than_celery_and_for_longer(worker: Worker) -> None:
    worker.log.write(1, "revoke", task_id=[str(number) for number in range(60_000)])

    worker.poll()

    assert len(state.revoked) == 60_000
    assert state.revoked.expires > 14 * 86400


def test_after_a_minute_of_ignorance_it_takes_jobs_all_the_same(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.step._open_unknowing()

    assert worker.task_consumer.active == {OURS, OTHER}
    assert "takes jobs without knowing" in caplog.text


def _with_ticket(posted: Any) -> Any:
    letter: Letter = posted.letter
    return replace(posted, letter=replace(letter, ticket="t"))
