"""Looking at many letters at once."""

import time
from collections.abc import Iterator
from itertools import islice

from app.engine.conf import EngineSettings
from app.engine.dead_letters.index import Index
from app.engine.dead_letters.letter import OPEN, DeadLetter, State
from app.engine.dead_letters.selection import Selection


def open_letters(settings: EngineSettings) -> Iterator[DeadLetter]:
    """All that are dead or being sent back, queue by queue. Costs a read unit for some twenty."""
    index, now = Index(settings), time.time()
    for queue in settings.topology.queues:
        yield from index.letters(queue.name, is_open=True, now=now)


def latest(
    settings: EngineSettings, selection: Selection, *, state: State = State.DEAD, limit: int, after: tuple[float, str] | None = None
) -> list[DeadLetter]:
    """Those that fit, the latest death first. ``DEAD`` shows those that are being sent back, too.

    ``after`` is the death and the id of the last one of an earlier page. Raises what :class:`Index` raises.
    """
    index, now = Index(settings), time.time()
    found: list[DeadLetter] = []
    wanted = OPEN if state is State.DEAD else {state}
    for queue in settings.topology.queues:
        if selection.queue in ("", queue.name):
            letters = index.letters(queue.name, is_open=state in OPEN, now=now)
            fitting = (letter for letter in letters if letter.state in wanted and selection.fits(letter) and _is_after(letter, after))
            found += islice(fitting, limit)
    return sorted(found, key=_order, reverse=True)[:limit]


def _order(letter: DeadLetter) -> tuple[float, str]:
    return letter.died_at, letter.id


def _is_after(letter: DeadLetter, place: tuple[float, str] | None) -> bool:
    return place is None or _order(letter) < place
