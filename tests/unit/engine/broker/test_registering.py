"""What is sent is recorded, and what SQS did not take is recorded as such."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from celery import chord, current_app, group

from app.engine.aws.wire import NotSent, Unanswered
from app.engine.broker.errors import PartlySent
from app.engine.job_ledger import Enqueued
from tests.unit.engine.broker.fake_sqs import FakeSqs, client_error, failed, refusing


class FakeRegister:
    """Notes in order what it is told, and what SQS is asked."""

    def __init__(self) -> None:
        self.jobs: list[Enqueued] = []
        self.events: list[str] = []
        self.lost: dict[str, bool] = {}

    def begin(self, jobs: Sequence[Enqueued]) -> "FakeRegister":
        self.jobs += jobs
        self.events.append("begun")
        return self

    def write(self, items: list[dict[str, Any]]) -> bool:
        return True

    def not_sent(self, reasons: Mapping[str, str], *, is_certain: bool) -> None:
        self.lost |= dict.fromkeys(reasons, is_certain)

    def wait(self) -> bool:
        self.events.append("written")
        return True


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> FakeRegister:
    fake = FakeRegister()
    monkeypatch.setattr(current_app, "job_register", fake)
    monkeypatch.setattr("app.engine.outbox.producer.is_open", lambda: False)
    return fake


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch, register: FakeRegister) -> FakeSqs:
    fake = FakeSqs()

    def client() -> FakeSqs:
        register.events.append("sending")
        return fake

    monkeypatch.setattr(current_app.sender, "client", client)
    return fake


def task() -> Any:
    return current_app.tasks["engine.debug_task"]


def test_a_lone_job_is_recorded_while_it_is_sent(register: FakeRegister, sqs: FakeSqs) -> None:
    result = task().apply_async(headers={"tenant": "acme"})

    (job,) = register.jobs
    assert (job.headers["id"], job.headers["task"], job.queue, job.tenant) == (result.id, "engine.debug_task", "default", "acme")
    assert register.events == ["begun", "sending", "written"]


def test_many_are_recorded_before_they_are_sent(register: FakeRegister, sqs: FakeSqs) -> None:
    ids = task().delay_many([{"seconds": 0}] * 12)

    assert [job.headers["id"] for job in register.jobs] == ids
    assert register.events == ["begun", "written", "sending", "written"]


def test_a_canvas_is_recorded_at_once(register: FakeRegister, sqs: FakeSqs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app.backend, "apply_chord", lambda *_, **__: None)
    group(task().si() for _ in range(3)).apply_async()
    chord([task().si() for _ in range(2)], task().si()).apply_async()

    assert len(register.jobs) == 5
    assert register.events.count("begun") == 2


@pytest.mark.parametrize(
    ("error", "is_certain"),
    [
        (client_error("AccessDenied", 403), True),
        (NotSent("no address"), True),
        (Unanswered("no answer"), False),
        (client_error("InternalError", 500), False),
    ],
    ids=["refused", "not sent", "unanswered", "server error"],
)
def test_what_sqs_did_not_take_is_told_with_its_certainty(register: FakeRegister, sqs: FakeSqs, error: Exception, is_certain: bool) -> None:
    sqs.answer = refusing(error)

    with pytest.raises(type(error)):
        task().apply_async(task_id="one")

    assert register.lost == {"one": is_certain}
    assert register.events[-1] == "written"


@pytest.mark.parametrize(
    "publish",
    [
        lambda: task().delay_many([{"seconds": 0}] * 3),
        lambda: group(task().si() for _ in range(3)).apply_async(),
    ],
    ids=["bulk", "group"],
)
def test_of_several_only_those_that_were_refused_are_told(register: FakeRegister, sqs: FakeSqs, publish: Callable[[], Any]) -> None:
    sqs.answer = lambda *_: {
        "Successful": [{"Id": "0"}, {"Id": "2"}],
        "Failed": [failed("1", code="InvalidMessageContents", sender_fault=True)],
    }

    with pytest.raises(PartlySent) as raised:
        publish()

    assert register.lost == {raised.value.ids[1]: True}
