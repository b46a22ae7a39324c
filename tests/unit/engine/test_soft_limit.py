"""A run hears of its soft time limit once, and the next run again."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest
from billiard import pool
from billiard.exceptions import SoftTimeLimitExceeded

from app.engine import soft_limit

SIGNAL = signal.SIGUSR1


@pytest.fixture(autouse=True)
def _in_a_pool_process() -> Iterator[None]:
    before = signal.signal(SIGNAL, pool.soft_timeout_sighandler)
    yield
    signal.signal(SIGNAL, before)


def tell() -> None:
    os.kill(os.getpid(), SIGNAL)


def test_what_saves_the_work_is_not_cut_off_by_a_second_signal() -> None:
    saved = []
    soft_limit.begin_run()

    with pytest.raises(SoftTimeLimitExceeded):
        tell()
    for part in range(3):
        tell()
        saved.append(part)

    assert saved == [0, 1, 2]


def test_the_next_run_hears_of_its_own() -> None:
    for _ in range(3):
        soft_limit.begin_run()
        with pytest.raises(SoftTimeLimitExceeded):
            tell()


def test_a_handler_of_somebody_else_stays() -> None:
    heard = []
    signal.signal(SIGNAL, lambda number, _: heard.append(number))

    soft_limit.begin_run()
    tell()

    assert heard == [SIGNAL]


def test_what_a_library_has_swallowed_is_raised_again_between_two_parts() -> None:
    soft_limit.begin_run()
    soft_limit.check()
    with suppress(Exception):
        tell()

    with pytest.raises(SoftTimeLimitExceeded):
        soft_limit.check()

    soft_limit.begin_run()
    soft_limit.check()
