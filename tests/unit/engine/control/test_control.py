"""What the client refuses, and how it waits."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import current_app

from app.engine.control import Control, ControlRefused
from app.engine.control import control as module
from app.engine.control.letters import Letter
from app.topology import TOPOLOGY

QUEUE = TOPOLOGY.queues[1].name


class Table:
    """Stands where the mailbox would be: notes what is posted, and gives the answers of these workers, one a look."""

    def __init__(self, *workers: str) -> None:
        self.posted: list[Letter] = []
        self.workers = workers
        self.looks = 0

    def post(self, letter: Letter) -> int:
        self.posted.append(letter)
        return len(self.posted)

    def answers(self, _ticket: str) -> dict[str, Any]:
        self.looks += 1
        return {worker: {"ok": "pong"} for worker in self.workers[: self.looks]}


class Fleet(Control):
    """Three workers live. Notes whose jobs are cancelled where they wait."""

    cancelled: tuple[str, ...] = ()

    def live_workers(self) -> list[str]:
        return ["one@h", "two@h", "three@h"]

    def cancel_waiting(self, task_ids: Any) -> None:
        self.cancelled = tuple(task_ids)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Fleet, Table]]:
    def make(*workers: str) -> tuple[Fleet, Table]:
        table = Table(*workers)
        monkeypatch.setattr(module, "Mailbox", lambda _settings: table)
        monkeypatch.setattr(module, "LOOK_SECONDS", 0)
        return Fleet(app=current_app), table

    return make


def test_the_wait_ends_when_everybody_who_lives_has_answered(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 5.0)
    control, table = fleet("one@h", "two@h", "three@h")
    heard: list[Any] = []

    replies = control.ping(callback=heard.append)

    assert replies == heard == [{worker: {"ok": "pong"}} for worker in table.workers]
    assert table.looks == 3


@pytest.mark.parametrize("options", [{"limit": 2}, {"destination": ["one@h", "two@h"]}, {"pattern": "t*", "matcher": "glob"}], ids=str)
def test_the_wait_ends_when_those_who_were_asked_have_answered(fleet: Any, monkeypatch: pytest.MonkeyPatch, options: Any) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 5.0)
    control, table = fleet("two@h", "three@h") if "pattern" in options else fleet("one@h", "two@h")

    assert len(control.ping(**options)) == 2
    assert table.looks == 2


def test_the_wait_ends_when_time_is_up(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    control, _ = fleet("one@h")

    assert control.ping(timeout=0.01) == [{"one@h": {"ok": "pong"}}]


def test_nobody_waits_for_what_asks_for_no_answer(fleet: Any) -> None:
    control, table = fleet()

    assert control.rate_limit("engine.debug_task", "1/s") is None
    assert [(letter.method, letter.ticket) for letter in table.posted] == [("rate_limit", None)]
    assert table.looks == 0


def test_many_jobs_are_revoked_by_few_letters_and_each_worker_answers_once(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDS_PER_LETTER", 2)
    control, table = fleet("one@h", "two@h", "three@h")

    assert len(control.revoke(["a", "b", "c", "b"], terminate=True, reply=True)) == 3

    assert [letter.arguments["task_id"] for letter in table.posted] == [["a", "b"], ["c"]]
    assert all(letter.arguments["terminate"] for letter in table.posted)
    assert [letter.ticket is not None for letter in table.posted] == [False, True]
    assert control.cancelled == ("a", "b", "c")


def test_revoking_no_job_asks_nobody(fleet: Any) -> None:
    control, table = fleet()

    assert control.revoke([], reply=True) == []
    assert table.posted == []


@pytest.mark.parametrize(
    ("order", "way_out"),
    [
        (lambda control: control.pause_queue("letters"), "the queues are"),
        (lambda control: control.resume_queue("letters"), "the queues are"),
        (lambda control: control.pause_queue(QUEUE, destination=["one@h"]), "cancel_consumer"),
        (lambda control: control.broadcast("drain"), "--destination"),
        (lambda control: control.revoke_by_stamped_headers(["order"]), "expected header=value, got 'order'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_is_posted(fleet: Any, order: Callable[[Any], Any], way_out: str) -> None:
    control, table = fleet()

    with pytest.raises(ControlRefused, match=way_out):
        order(control)

    assert table.posted == []


def test_stamps_are_told_in_one_form_however_they_are_given(fleet: Any) -> None:
    control, table = fleet()

    control.revoke_by_stamped_headers({"order": "7"})
    control.broadcast("revoke_by_stamped_headers", {"headers": ["order=7", "order=8", "shop=b"]})

    assert [letter.arguments["headers"] for letter in table.posted] == [{"order": ["7"]}, {"order": ["7", "8"], "shop": ["b"]}]
