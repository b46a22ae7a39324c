"""Jobs that die in the rehearsal, and what becomes of their letters."""

import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from app.topology import TOPOLOGY
from scripts.laptop.demo import DemoFailed, Shop, Story

_DEAD_WITHIN = timedelta(seconds=120)
_SETTLED_WITHIN = timedelta(seconds=90)
#: A body of this size is laid down beside its message.
_LARGE = 300_000


def die_and_come_back(bystander: str) -> Callable[[Shop], Story]:
    """On every queue two jobs die, one of them large. They are sent back by the API, die again, and are discarded.

    Before them one of another tenant has died on each queue: those letters are let go of, and left.
    """

    def the_dead(shop: Shop) -> Story:
        story = Story(title="Jobs die and come back", columns=("queue", "died", "came back and died again", "discarded"))
        tenant = f"rehearsal-{uuid.uuid4().hex[:8]}"
        queues = [queue.name for queue in TOPOLOGY.queues]
        send_in_vain(shop, bystander, queues, sizes=[1])
        await_letters(shop, tenant=bystander, wanted=len(queues), redrives=0)
        send_in_vain(shop, tenant, queues, sizes=[1, _LARGE])
        first = await_letters(shop, tenant=tenant, wanted=2 * len(queues), redrives=0)
        for queue in queues:
            shop.doing = f"sending back what died on {queue}"
            order(shop, "redrives", queue=queue, tenant=tenant)
        second = await_letters(shop, tenant=tenant, wanted=2 * len(queues), redrives=1)
        left = discard(shop, tenant)
        beside = await_letters(shop, tenant=bystander, wanted=len(queues), redrives=0)
        for queue in queues:
            counts = [sum(letter["queue"] == queue for letter in letters) for letters in (first, second, left, beside)]
            story.rows.append((queue, str(counts[0]), str(counts[1]), str(counts[1] - counts[2])))
            story.expect(
                counts == [2, 2, 0, 1],
                f"{queue}: two jobs must die, die again after their redrive, and be discarded, and another's be left; it was {counts}.",
            )
        return story

    return the_dead


def send_in_vain(shop: Shop, tenant: str, queues: Sequence[str], sizes: Sequence[int]) -> None:
    """To each queue one job of each size, with an argument that its task does not know."""
    shop.doing = "sending jobs that cannot be done"
    code = (
        "from celery import current_app\n"
        "from app.topology import TOPOLOGY\n"
        "current_app.loader.import_default_modules()\n"
        "own = sorted(name for name in current_app.tasks if not name.startswith(('celery.', 'engine.')))\n"
        f"for queue in {list(queues)!r}:\n"
        "    task = next(name for name in own if TOPOLOGY.queue_for(name).name == queue)\n"
        f"    for size in {list(sizes)!r}:\n"
        f"        current_app.send_task(task, kwargs={{'unheard_of': 'x' * size}}, headers={{'tenant': {tenant!r}}})\n"
    )
    shop.manage("shell", "-c", code)


def await_letters(shop: Shop, *, wanted: int, redrives: int, **selection: str) -> list[dict[str, Any]]:
    """The dead letters that fit and were sent back so often. Raises :class:`DemoFailed` if there are fewer in the end."""

    def there() -> list[dict[str, Any]]:
        return [letter for letter in _letters(shop, **selection) if letter.get("redrives", 0) == redrives]

    if not shop.wait_until(lambda: len(there()) >= wanted, lambda: f"{len(there())} of {wanted} letters are there", _DEAD_WITHIN):
        raise DemoFailed(
            f"{len(there())} of {wanted} jobs have died within {_DEAD_WITHIN.total_seconds():.0f} s (sent back {redrives} times)."
        )
    return there()


def order(shop: Shop, kind: str, **selection: str) -> str:
    """Give an order for dead letters, ``redrives`` or ``discards``, and return its id. Raises :class:`DemoFailed` if it is not taken."""
    answer = shop.post(f"/api/dead-letters/{kind}", selection, idempotency_key=uuid.uuid4().hex)
    if answer.status != HTTPStatus.ACCEPTED:
        raise DemoFailed(f"An order for {kind} of {selection} was answered with {answer.status}: {answer.body}")
    return str(answer.body["order"])


def discard(shop: Shop, tenant: str) -> list[dict[str, Any]]:
    """Have a tenant's letters discarded; those that are left."""
    order(shop, "discards", tenant=tenant)
    shop.wait_until(
        lambda: not _letters(shop, tenant=tenant), lambda: f"discarding {len(_letters(shop, tenant=tenant))} letters", _SETTLED_WITHIN
    )
    return _letters(shop, tenant=tenant)


def _letters(shop: Shop, **selection: str) -> list[dict[str, Any]]:
    answer = shop.get(f"/api/dead-letters?{urlencode({**selection, 'limit': 100})}")
    found: list[dict[str, Any]] = answer.body["items"] if answer.status == HTTPStatus.OK else []
    return found
