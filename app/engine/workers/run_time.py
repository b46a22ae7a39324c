"""How long runs take, by what the worker's slots were busy with."""

import time
from collections.abc import Callable
from datetime import timedelta

#: What happened that long ago counts half: the work of a queue changes with the hour, not with the second.
HALF_LIFE = timedelta(minutes=5)


class RecentRuns:
    """Slot-seconds that were used and runs that began, those of the last minutes: the first by the second is the mean run time.

    Little's law, so it costs a look at each heartbeat and nothing at each run. Limit: runs that are much shorter than the time between
    two looks are seen by chance; over some minutes chance is fair.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted_at = clock()
        self._begun = 0
        self.busy_seconds = 0.0
        self.runs = 0.0

    def note(self, *, busy: int, begun: int) -> None:
        """``busy``: slots in use now. ``begun``: runs that the worker has begun since its start."""
        now = self._clock()
        passed, self._noted_at = now - self._noted_at, now
        kept = 0.5 ** (passed / HALF_LIFE.total_seconds())
        self.busy_seconds = self.busy_seconds * kept + busy * passed
        self.runs = self.runs * kept + begun - self._begun
        self._begun = begun
