"""Which ECS task this process is in."""

import logging

from app.engine.conf import EngineSettings
from app.engine.errors import EngineError
from app.engine.workers.ecs import read_task_arn

logger = logging.getLogger(__name__)

_MOST_TRIES = 3


class TaskIdentity:
    """Learned from ECS once. What cannot be learned in three tries stays empty."""

    def __init__(self, settings: EngineSettings) -> None:
        self._url = settings.ecs_metadata_url
        self._tries_left = 0 if self._url is None else _MOST_TRIES
        self.arn = ""

    def read(self) -> None:
        """Ask, if it is not known. One call of six seconds at most: not for the event loop."""
        if self._tries_left and self._url is not None:
            self._tries_left -= 1
            try:
                self.arn = read_task_arn(self._url)
                self._tries_left = 0
            except EngineError as error:
                if not self._tries_left:
                    logger.warning("ECS does not tell which task this is", extra={"reason": str(error)})
