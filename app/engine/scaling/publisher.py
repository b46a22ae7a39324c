"""Publishes at the right moments, in a thread of beat."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from app.topology.scaling import SENSOR_PERIOD

logger = logging.getLogger(__name__)

#: How soon a beat that begins to lead publishes.
LOOK_SECONDS = 1.0
#: Into each of CloudWatch's periods: one figure falls into each, whatever the pace of threads.
INTO_PERIOD_SECONDS = 5.0
#: A beat that ends waits no longer for AWS: the next figure is the next leader's.
LAST_WORD_SECONDS = 1.0


class Publisher:
    """Calls ``publish`` once a period for as long as ``is_leading`` says so, and at once when it begins to.

    A thread of its own: an AWS that is slow or away delays no tick.
    """

    def __init__(
        self,
        *,
        publish: Callable[[], Mapping[str, int]],
        is_leading: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._publish = publish
        self._is_leading = is_leading
        self._clock = clock
        self._due_at = 0.0
        self._was_leading = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capacity-deficit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(LAST_WORD_SECONDS)

    def look(self) -> None:
        """Publish if it is time to."""
        now = self._clock()
        if not self._is_leading():
            self._was_leading = False
            return
        if self._was_leading and now < self._due_at:
            return
        self._due_at = _next_moment(now)
        published = self._publish()
        if not self._was_leading:
            logger.info("capacity deficit published", extra={"deficits": dict(published)})
        self._was_leading = True

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception:  # whatever is wrong with scaling, it must not end with it
                logger.exception("capacity deficit not published")


def _next_moment(now: float) -> float:
    """The next moment that lies ``INTO_PERIOD_SECONDS`` in one of CloudWatch's periods, which begin on full minutes."""
    period = SENSOR_PERIOD.total_seconds()
    return (now - INTO_PERIOD_SECONDS) // period * period + period + INTO_PERIOD_SECONDS
