"""What a shop's morning does not need, and the roles allow: an operator looks around, jobs die and come back, bodies are large."""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

from app.topology import TOPOLOGY
from scripts.laptop.demo import DemoFailed, Shop, Story
from scripts.laptop.schema import OPERATOR

_DEAD_WITHIN = timedelta(seconds=120)
_SETTLED_WITHIN = timedelta(seconds=90)
#: A body of this size is laid down beside its message.
_LARGE = 300_000
#: Half the longest visibility timeout, twice, and some.
_EXERCISED_WITHIN = timedelta(seconds=240)
_ENDED = {"succeeded", "failed", "dead", "revoked"}
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


def look_around(password: str) -> Callable[[Shop], Story]:
    """An operator reads everything that there is to read: pages, health, jobs by each index."""

    def operators_round(shop: Shop) -> Story:
        story = Story(title="An operator looks around", columns=("what", "answers"))
        shop.doing = "looking around"
        opener = build_opener(HTTPCookieProcessor(CookieJar()))
        _log_in(shop, opener, password)
        for path in ("/console/", "/console/live/"):
            with opener.open(shop.web + path) as answer:
                _note(story, path, answer.status)
        newest = shop.get("/api/jobs?limit=1").body["items"]
        job_id = newest[0]["id"] if newest else "nothing"
        searches = {
            "/health/ready": "/health/ready",
            "/health/workers": "/health/workers",
            "jobs, the newest": "/api/jobs",
            "jobs by state": "/api/jobs?state=succeeded",
            "jobs by tenant": "/api/jobs?tenant=nobody",
            "jobs by fingerprint": "/api/jobs?fingerprint=0123456789ab",
            "one job": f"/api/jobs/{job_id}",
            "workers": "/api/workers",
            "schedules": "/api/schedules",
            "dead letters": "/api/dead-letters",
            "dead letters by problem": "/api/dead-letters/groups",
        }
        for what, path in searches.items():
            _note(story, what, shop.get(path).status)
        return story

    return operators_round


def die_and_come_back(shop: Shop) -> Story:
    """On every queue two jobs die, one of them large. They are sent back by the API, die again, and are discarded by a command."""
    story = Story(title="Jobs die and come back", columns=("queue", "died", "came back and died again", "discarded"))
    tenant = f"rehearsal-{uuid.uuid4().hex[:8]}"
    queues = [queue.name for queue in TOPOLOGY.queues]
    send_in_vain(shop, tenant, queues, sizes=[1, _LARGE])
    first = await_letters(shop, tenant, wanted=2 * len(queues), redrives=0)
    for queue in queues:
        shop.doing = f"sending back what died on {queue}"
        answer = shop.post("/api/dead-letters/redrives", {"queue": queue, "tenant": tenant}, idempotency_key=uuid.uuid4().hex)
        if answer.status != HTTPStatus.ACCEPTED:
            raise DemoFailed(f"A redrive of {queue} was answered with {answer.status}: {answer.body}")
    second = await_letters(shop, tenant, wanted=2 * len(queues), redrives=1)
    left = discard(shop, tenant)
    for queue in queues:
        counts = [sum(letter["queue"] == queue for letter in letters) for letters in (first, second, left)]
        story.rows.append((queue, str(counts[0]), str(counts[1]), str(counts[1] - counts[2])))
        story.expect(counts == [2, 2, 0], f"{queue}: two jobs must die, die again after their redrive, and be discarded; it was {counts}.")
    return story


def exercise_jobs(shop: Shop) -> Story:
    """On every queue a chord of jobs that do all that a job may do, and one that waits in the database and is large."""
    story = Story(title="Jobs do all that they may", columns=("queue", "chord", "delayed"))
    shop.doing = "sending exercises"
    queues = [queue.name for queue in TOPOLOGY.queues]
    ids = {queue: (uuid.uuid4().hex, uuid.uuid4().hex) for queue in queues}
    shop.manage("shell", "-c", _exercise(ids))
    awaited = [job for pair in ids.values() for job in pair]

    def states() -> dict[str, str]:
        return {job: str(shop.get(f"/api/jobs/{job}").body.get("state")) for job in awaited}

    def describe() -> str:
        return f"{sum(state in _ENDED for state in states().values())} of {len(awaited)} exercises have ended"

    shop.wait_until(lambda: all(state in _ENDED for state in states().values()), describe, _EXERCISED_WITHIN)
    ended = states()
    for queue, (chord, delayed) in ids.items():
        story.rows.append((queue, ended[chord], ended[delayed]))
        story.expect(
            (ended[chord], ended[delayed]) == ("succeeded", "succeeded"), f"{queue}: the exercises are {ended[chord]} and {ended[delayed]}."
        )
    return story


def _exercise(ids: Mapping[str, tuple[str, str]]) -> str:
    """For Django's shell."""
    return (
        "from celery import current_app\n"
        "from app.topology import TOPOLOGY\n"
        "from scripts.rehearsal.exercises.tasks import task_name\n"
        f"for queue, (body, delayed) in {dict(ids)!r}.items():\n"
        "    name = task_name(TOPOLOGY.queue(queue))\n"
        "    current_app.send_task(name, kwargs={'step': 'chord', 'text': body})\n"
        f"    current_app.send_task(name, kwargs={{'step': 'rest', 'text': 'x' * {_LARGE}}}, countdown=5, task_id=delayed)\n"
    )


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


def await_letters(shop: Shop, tenant: str, *, wanted: int, redrives: int) -> list[dict[str, Any]]:
    """The dead letters that were sent back so often. Raises :class:`DemoFailed` if there are fewer in the end."""

    def there() -> list[dict[str, Any]]:
        return [letter for letter in _letters(shop, tenant) if letter.get("redrives", 0) == redrives]

    if not shop.wait_until(lambda: len(there()) >= wanted, lambda: f"{len(there())} of {wanted} letters are there", _DEAD_WITHIN):
        raise DemoFailed(
            f"{len(there())} of {wanted} jobs have died within {_DEAD_WITHIN.total_seconds():.0f} s (sent back {redrives} times)."
        )
    return there()


def discard(shop: Shop, tenant: str) -> list[dict[str, Any]]:
    """Have a tenant's letters discarded; those that are left."""
    shop.post("/api/dead-letters/discards", {"tenant": tenant}, idempotency_key=uuid.uuid4().hex)
    shop.wait_until(lambda: not _letters(shop, tenant), lambda: f"discarding {len(_letters(shop, tenant))} letters", _SETTLED_WITHIN)
    return _letters(shop, tenant)


def _log_in(shop: Shop, opener: Any, password: str) -> None:
    address = f"{shop.web}/login/"
    with opener.open(address) as page:
        token = _TOKEN.search(page.read().decode())
    if token is None:
        raise DemoFailed(f"{address} shows no form.")
    form = urlencode({"username": OPERATOR, "password": password, "csrfmiddlewaretoken": token[1], "next": "/console/"}).encode()
    with opener.open(Request(address, data=form, headers={"Referer": address})) as page:  # noqa: S310 — our own address
        if "/login/" in page.url:
            raise DemoFailed(f"{OPERATOR} cannot log in.")


def _note(story: Story, what: str, status: int) -> None:
    story.rows.append((what, str(status)))
    story.expect(status == HTTPStatus.OK, f"{what} must answer 200, answers {status}.")


def _letters(shop: Shop, tenant: str) -> list[dict[str, Any]]:
    answer = shop.get(f"/api/dead-letters?tenant={tenant}&limit=100")
    found: list[dict[str, Any]] = answer.body["items"] if answer.status == HTTPStatus.OK else []
    return found
