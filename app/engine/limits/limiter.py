"""What a task says of its key."""

import logging
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import Error as DatabaseError

from app.engine.broker.put_off import PutOff
from app.engine.limits import permits
from app.engine.limits.permits import Full, Wanted
from app.engine.limits.renewal import LEASE, Renewal

logger = logging.getLogger(__name__)

LIMIT = "limit"
"""Under this name a run says that its key has no permit left. It concerns no other job, so no queue is suspended."""
LONGEST_KEY = 200
#: Each start is a row until it has lapsed.
MOST = 10_000
LONGEST_PACE = timedelta(days=1)
LONGEST_PAUSE_SECONDS = 900
SPREAD_SECONDS = 20
"""Those who wait come back over so long, and not all at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AtOnce:
    """At most so many runs under a key at one moment. ``lease`` is how long the place of one that is killed stays taken."""

    key: str
    most: int
    lease: timedelta = LEASE

    def __post_init__(self) -> None:
        _check(self.key, self.most)
        if not timedelta(seconds=1) <= self.lease <= timedelta(hours=1):
            raise ValueError(f"expected a lease from a second to an hour, got {self.lease}")

    @property
    def wanted(self) -> Wanted:
        return Wanted(key=f"at once {self.key}", most=self.most, lasts=self.lease)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """At most so many runs under a key begin in any stretch of ``per``. A run that fails, or is killed, has begun."""

    key: str
    most: int
    per: timedelta

    def __post_init__(self) -> None:
        _check(self.key, self.most)
        if not timedelta(0) < self.per <= LONGEST_PACE:
            raise ValueError(f"expected a stretch of up to a day, got {self.per}")

    @property
    def wanted(self) -> Wanted:
        # Never given back: it lapses when the stretch that began with it is over.
        return Wanted(key=f"pace {self.key}", most=self.most, lasts=self.per)


@contextmanager
def limited(request: Any, *limits: AtOnce | Pace) -> Iterator[None]:
    """Go on only if none of these limits is reached; otherwise the job is put off, which is no attempt, and nothing is counted.

    ``request`` is ``self.request`` of a bound task. Use it outside of any transaction, as the first thing that the task does: what was done
    before is done again when the job comes back. Raises :class:`PutOff`, and Django's database errors.
    """
    taken = permits.take([limit.wanted for limit in limits], str(request.id or ""))
    if isinstance(taken, Full):
        seconds = _seconds_until_next_try(taken, limits)
        logger.info("over the limit", extra={"key": taken.key, "again_in_seconds": seconds})
        raise PutOff(LIMIT, f"The limit {taken.key!r} is reached.", seconds=seconds)
    held = {permit: limit.lease for permit, limit in zip(taken, limits, strict=True) if isinstance(limit, AtOnce)}
    if not held:
        yield
        return
    # The shortest lease of several is the one by which all are renewed.
    lease, ours = min(held.values()), list(held)
    try:
        with Renewal(lambda: permits.renew(ours, lease) == len(ours), lease=lease, what=" ".join(limit.key for limit in limits)):
            yield
    finally:
        _give_back(ours)


def _give_back(ours: list[Any]) -> None:
    try:
        permits.give_back(ours)
    except DatabaseError as error:
        # The run's own outcome counts; the permits lapse.
        logger.warning("permit not given back", extra={"reason": str(error)[:300]})


def seconds_spread() -> int:
    """How long one of many waits."""
    return random.randint(1, SPREAD_SECONDS)  # noqa: S311 — nobody gains by guessing it


def _seconds_until_next_try(full: Full, limits: tuple[AtOnce | Pace, ...]) -> int:
    """Not before a pace can have a permit left. A place may be given back at any time."""
    is_pace = any(limit.wanted.key == full.key for limit in limits if isinstance(limit, Pace))
    at_least = math.ceil(full.frees_in.total_seconds()) if is_pace else 0
    return min(at_least + seconds_spread(), LONGEST_PAUSE_SECONDS)


def _check(key: str, most: int) -> None:
    if not 1 <= len(key) <= LONGEST_KEY or "\0" in key:
        raise ValueError(f"expected a key of 1 to {LONGEST_KEY} characters, got {key!r:.250}")
    if not 1 <= most <= MOST:
        raise ValueError(f"expected 1 to {MOST} permits, got {most}")
