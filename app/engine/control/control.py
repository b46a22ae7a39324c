"""The client: ``app.control``."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from celery.app.control import Control as CeleryControl
from celery.utils import uuid

from app.engine.conf import engine_settings
from app.engine.control.errors import ControlRefused
from app.engine.control.letters import PAUSES, REVOCATIONS, Letter
from app.engine.control.mailbox import Mailbox
from app.engine.control.revocations import ids_of, stamps_of
from app.engine.errors import EngineError

#: A worker looks every second, and then has to answer. Whoever asks for less patience, as Celery does by default, would hear of nobody.
PATIENCE_SECONDS = 3.0
LOOK_SECONDS = 0.1
#: Ids in one letter, which may have 400 KB.
IDS_PER_LETTER = 5000


class Control(CeleryControl):
    """Celery's, with :meth:`broadcast` over the mailbox: every other method goes through it. Opens no connection, makes no queue.

    Raises :class:`~app.engine.control.errors.ControlRefused` and what :class:`~app.engine.control.mailbox.Mailbox` raises.
    """

    def broadcast(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: Sequence[str] | None = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float | None = 1.0,
        limit: int | None = None,
        callback: Callable[[dict[str, Any]], object] | None = None,
        channel: Any = None,
        pattern: str | None = None,
        matcher: str | None = None,
        **extra_kwargs: Any,
    ) -> list[dict[str, Any]] | None:
        """Post a command to the workers. With ``reply``, wait until all that live have answered, ``limit`` have, or time is up.

        Time is up after ``timeout``, but not before 3 seconds. Revocations and pauses are everybody's: ``destination`` says who is to answer.
        """
        if destination is not None and not isinstance(destination, list | tuple):
            raise ValueError(f"destination must be a list/tuple not {type(destination)}")
        told = dict(arguments or {}, **extra_kwargs)
        self._check(command, told, destination, pattern)
        ticket = uuid() if reply else None
        mailbox = Mailbox(engine_settings())
        parts = list(_parts(command, told))
        for position, part in enumerate(parts):
            mailbox.post(
                Letter(
                    id=uuid(),
                    method=command,
                    arguments=part,
                    destination=tuple(destination) if destination else None,
                    pattern=pattern,
                    matcher=matcher,
                    # One answer a worker: to the last part, when it has done the others.
                    ticket=ticket if position == len(parts) - 1 else None,
                )
            )
        if command in REVOCATIONS and "task_id" in told:
            # After the letter: whatever leaves the outbox from now on is not run.
            self.cancel_waiting(ids_of(told["task_id"]))
        if ticket is None or not parts:
            return [] if reply else None
        if limit is None and destination:
            limit = len(destination)
        addressed = Letter(id="", method=command, destination=tuple(destination) if destination else None, pattern=pattern, matcher=matcher)
        return self._collect(mailbox, ticket, addressed, max(timeout or 0.0, PATIENCE_SECONDS), limit, callback)

    def pause_queue(self, queue: str, **options: Any) -> Any:
        """Have no worker receive from a queue until :meth:`resume_queue`, those included that start later. What runs goes on."""
        return self.broadcast("pause_queue", {"queue": queue}, **options)

    def resume_queue(self, queue: str, **options: Any) -> Any:
        return self.broadcast("resume_queue", {"queue": queue}, **options)

    def paused_queues(self) -> frozenset[str]:
        """The queues that are paused, by the log itself: true whether or not a worker lives. Reads the whole log."""
        paused: set[str] = set()
        for posted in Mailbox(engine_settings()).letters_after(0, consistently=True):
            if posted.letter.method == "pause_queue":
                paused.add(posted.letter.arguments["queue"])
            elif posted.letter.method == "resume_queue":
                paused.discard(posted.letter.arguments["queue"])
        return frozenset(paused)

    def drain(self, destination: Sequence[str], **options: Any) -> Any:
        """Have these workers take no more jobs and finish what they have. It lasts as long as their processes, or until :meth:`undrain`."""
        return self.broadcast("drain", destination=destination, **options)

    def undrain(self, destination: Sequence[str] | None = None, **options: Any) -> Any:
        return self.broadcast("undrain", destination=destination, **options)

    # -- what a floor above may know ----------------------------------------------------------------------------------------

    def live_workers(self) -> Collection[str] | None:
        """The host names that have to answer before everybody has; ``None`` where nobody keeps a list."""
        return None

    def cancel_waiting(self, task_ids: Collection[str]) -> None:
        """Revoked jobs that wait where no worker comes by."""

    # -- details --------------------------------------------------------------------------------------------------------------

    def _check(self, command: str, arguments: dict[str, Any], destination: Sequence[str] | None, pattern: str | None) -> None:
        if command in PAUSES:
            queues = sorted(queue.name for queue in engine_settings().topology.queues)
            if arguments.get("queue") not in queues:
                raise ControlRefused(f"There is no queue {arguments.get('queue')!r}; the queues are {', '.join(queues)}.")
            if destination or pattern:
                raise ControlRefused(f"{command} is for all workers. For one, use cancel_consumer and add_consumer, or drain.")
        if command == "drain" and not (destination or pattern):
            raise ControlRefused("Say which workers to drain, by --destination. To stop all of them from taking jobs, pause the queues.")
        if command == "revoke_by_stamped_headers":
            arguments["headers"] = stamps_of(arguments["headers"])

    def _collect(
        self,
        mailbox: Mailbox,
        ticket: str,
        addressed: Letter,
        patience_seconds: float,
        limit: int | None,
        callback: Callable[[dict[str, Any]], object] | None,
    ) -> list[dict[str, Any]]:
        deadline = time.monotonic() + patience_seconds
        expected = self._expected(addressed)
        found: dict[str, Any] = {}
        while True:
            for hostname, answer in mailbox.answers(ticket).items():
                if hostname not in found and (limit is None or len(found) < limit):
                    found[hostname] = answer
                    if callback is not None:
                        callback({hostname: answer})
            is_complete = (limit is not None and len(found) >= limit) or (bool(expected) and expected <= found.keys())
            if is_complete or time.monotonic() >= deadline:
                return [{hostname: answer} for hostname, answer in found.items()]
            time.sleep(LOOK_SECONDS)

    def _expected(self, addressed: Letter) -> frozenset[str]:
        """Nobody: the time has to run out."""
        try:
            live = self.live_workers()
        except EngineError:
            live = None
        return frozenset(hostname for hostname in live or () if addressed.is_for(hostname))


def _parts(command: str, arguments: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """A command as one letter, or as several where it names more jobs than one letter holds."""
    if command not in REVOCATIONS or "task_id" not in arguments:
        yield arguments
        return
    task_ids = ids_of(arguments["task_id"])
    for start in range(0, len(task_ids), IDS_PER_LETTER):
        yield arguments | {"task_id": task_ids[start : start + IDS_PER_LETTER]}
