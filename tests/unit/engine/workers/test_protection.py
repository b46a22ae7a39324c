"""When ECS is asked to spare a task, and when it is told that it need not."""

import logging
from datetime import timedelta

import pytest

from app.engine.workers.ecs import EcsRefused, EcsSilent
from app.engine.workers.protection import LINGER_SECONDS, LONGEST_PAUSE_SECONDS, PROTECTED_FOR, Protection

LIMIT = 30.0
LONG, SHORT = 31.0, 29.0
TERM = PROTECTED_FOR.total_seconds()


class Agent:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failing: Exception | None = None
        self.now = 1000.0

    def protect(self, expires_in: timedelta) -> None:
        self._note(f"protect for {expires_in}")

    def unprotect(self) -> None:
        self._note("unprotect")

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if self.failing is not None:
            raise self.failing


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
def protection(agent: Agent) -> Protection:
    return Protection(limit=timedelta(seconds=LIMIT), protect=agent.protect, unprotect=agent.unprotect, clock=lambda: agent.now)


PROTECT = f"protect for {PROTECTED_FOR}"


def follow(agent: Agent, protection: Protection, longest: float, seconds: float) -> None:
    """Look once a second."""
    for _ in range(int(seconds)):
        agent.now += 1
        protection.follow(longest)


def test_short_runs_and_idle_workers_ask_for_nothing(agent: Agent, protection: Protection) -> None:
    follow(agent, protection, SHORT, 100)
    protection.end()

    assert agent.asked == []


def test_a_long_run_is_protected_until_it_ends(agent: Agent, protection: Protection) -> None:
    follow(agent, protection, LONG, 100)
    assert agent.asked == [PROTECT]
    assert protection.is_protected

    follow(agent, protection, 0, 100)
    assert agent.asked == [PROTECT, "unprotect"]
    assert not protection.is_protected


def test_between_one_long_run_and_the_next_it_stays(agent: Agent, protection: Protection) -> None:
    for _ in range(5):
        follow(agent, protection, LONG, 60)
        follow(agent, protection, 0, LINGER_SECONDS - 1)
        assert protection.is_protected

    assert agent.asked == [PROTECT, PROTECT]  # and one renewal

    follow(agent, protection, SHORT, 2)
    assert agent.asked == [PROTECT, PROTECT, "unprotect"]


def test_protection_is_renewed_at_half_of_its_term_and_never_lapses_meanwhile(agent: Agent, protection: Protection) -> None:
    for _ in range(int(2 * TERM)):
        follow(agent, protection, LONG, 1)
        assert protection.is_protected

    assert agent.asked == [PROTECT] * 4


def test_a_worker_that_looks_no_more_stays_protected_for_the_rest_of_the_term_only(agent: Agent, protection: Protection) -> None:
    follow(agent, protection, LONG, 1)

    agent.now += TERM - 1
    assert protection.is_protected
    agent.now += 1
    assert not protection.is_protected


def test_an_end_withdraws_what_is_or_may_be_there_with_one_request(agent: Agent, protection: Protection) -> None:
    agent.failing = EcsSilent("no answer")
    follow(agent, protection, LONG, 1)
    assert not protection.is_protected

    protection.end()

    assert agent.asked == [PROTECT, "unprotect"]


@pytest.mark.parametrize("error", [EcsSilent("refused connection"), EcsRefused("AccessDeniedException")])
def test_an_agent_that_fails_is_asked_again_ever_later_and_costs_one_line(
    error: Exception, agent: Agent, protection: Protection, caplog: pytest.LogCaptureFixture
) -> None:
    agent.failing = error
    with caplog.at_level(logging.INFO):
        follow(agent, protection, LONG, 3600)

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    # Full jitter: half of the longest pause on average.
    assert 3600 / LONGEST_PAUSE_SECONDS < len(agent.asked) < 3600 / LONGEST_PAUSE_SECONDS * 4

    agent.failing = None
    caplog.clear()
    with caplog.at_level(logging.INFO):
        follow(agent, protection, LONG, LONGEST_PAUSE_SECONDS + 1)
    assert protection.is_protected
    assert "protection from scale-in can be changed again" in [record.message for record in caplog.records]


def test_what_was_refused_need_not_be_withdrawn_and_what_may_have_been_done_is_until_it_expires(
    agent: Agent, protection: Protection
) -> None:
    agent.failing = EcsRefused("TASK_NOT_VALID")
    follow(agent, protection, LONG, 1)
    follow(agent, protection, 0, 100)
    assert agent.asked == [PROTECT]

    agent.failing = EcsSilent("no answer")
    follow(agent, protection, LONG, 1)
    asked = len(agent.asked)
    follow(agent, protection, 0, TERM + 1)
    assert "unprotect" in agent.asked[asked:]
    asked = len(agent.asked)
    follow(agent, protection, 0, 1000)
    assert len(agent.asked) == asked
