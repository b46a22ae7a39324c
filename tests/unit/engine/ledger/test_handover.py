"""Results on their way from a child to the worker's main process, with a real fork."""

import os
import signal
from typing import Any

import pytest

from app.engine.ledger.handover import Handover
from tests.support.eventually import eventually


@pytest.fixture
def handover() -> Any:
    made = Handover()
    yield made
    made.close()


def in_a_child(act: Any) -> int:
    """The exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = int(act())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_a_child_gave_is_there_when_the_child_has_ended(handover: Handover) -> None:
    items = [{"id": {"S": f"ünïcode {number}"}} for number in range(50)]

    def give() -> int:
        return 0 if not handover.is_mine and all(handover.give(f"tag-{number}", item) for number, item in enumerate(items)) else 1

    assert in_a_child(give) == 0
    assert handover.is_mine
    assert handover.take() == [(f"tag-{number}", item) for number, item in enumerate(items)]
    assert handover.take() == []


def test_what_is_too_large_to_travel_is_refused_and_nothing_of_it_arrives(handover: Handover) -> None:
    assert in_a_child(lambda: handover.give("tag", {"result": {"S": "x" * 20_000_000}})) == 0
    assert handover.take() == []


def test_half_a_surrogate_pair_arrives_as_it_was(handover: Handover) -> None:
    assert handover.give("tag", {"result": {"S": "\ud800"}})
    assert handover.take() == [("tag", {"result": {"S": "\ud800"}})]


def test_a_child_that_waits_for_room_goes_on_when_the_main_process_takes(handover: Handover) -> None:
    many = 5_000
    pid = os.fork()
    if pid == 0:
        for number in range(many):
            handover.give(f"tag-{number}", {"result": {"S": "x" * 1_000}})
        os._exit(0)
    taken: list[Any] = []

    def take() -> int:
        handover.wait(0.1)
        taken.extend(handover.take())
        return len(taken)

    try:
        eventually(take, lambda count: count == many, within=20)
        assert [tag for tag, _ in taken] == [f"tag-{number}" for number in range(many)]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
