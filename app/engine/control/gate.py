"""Which of its queues a worker takes jobs from."""

import logging
from typing import Any

logger = logging.getLogger(__name__)


class Gate:
    """Used in the thread of the event loop only.

    | shut ── what is revoked and paused is known ──▶ open ── drain ──▶ draining ── undrain ──▶ open |

    Shut or draining, no queue is received from; open, each that Celery knows the worker to consume and that is not paused.
    What was received and not started is given back at once, what runs goes on. Nothing of it changes which queues the worker *has*.
    """

    def __init__(self) -> None:
        self.paused: set[str] = set()
        self.is_open = False
        self.is_draining = False
        self._consumer: Any = None

    def attach(self, consumer: Any) -> None:
        """Keep a consumer that is about to start to what is allowed."""
        self._consumer = consumer
        self._shut_what_is_not_wanted()

    def enforce(self) -> None:
        """Take from every queue that is wanted, and from no other."""
        self._shut_what_is_not_wanted()
        tasks = self._consumer.task_consumer
        missing = [queue for name, queue in self._wanted().items() if not tasks.consuming_from(name)]
        for queue in missing:
            tasks.add_queue(queue)
        if missing:
            tasks.consume()

    def pause(self, queue: str) -> None:
        self.paused.add(queue)
        self.enforce()

    def resume(self, queue: str) -> None:
        self.paused.discard(queue)
        self.enforce()

    def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            self.enforce()

    def drain(self) -> None:
        self.is_draining = True
        self.enforce()

    def undrain(self) -> None:
        self.is_draining = False
        self.enforce()

    def _wanted(self) -> dict[str, Any]:
        if self.is_draining or not self.is_open:
            return {}
        return {name: queue for name, queue in self._consumer.app.amqp.queues.consume_from.items() if name not in self.paused}

    def _shut_what_is_not_wanted(self) -> None:
        wanted = self._wanted()
        tasks = self._consumer.task_consumer
        for name in [queue.name for queue in tasks.queues if queue.name not in wanted]:
            tasks.cancel_by_queue(name)
