"""What a shop's morning does not need, and the roles allow: an operator looks around and makes schedules, jobs do all that they may."""

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

from app.topology import TOPOLOGY
from scripts.laptop.demo import DemoFailed, Shop, Story
from scripts.laptop.schema import OPERATOR
from scripts.rehearsal.exercises.names import task_name
from scripts.rehearsal.judgement import Judgement

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
            "jobs that succeeded": "/api/jobs?state=succeeded",
            "jobs that failed": "/api/jobs?state=failed",
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


def start_from_a_view(shop: Shop) -> Story:
    """A view starts a chord of one job on each queue, and the chord comes to its end."""
    story = Story(title="A view starts a chord", columns=("body", "state"))
    shop.doing = "asking a view for a chord"
    answer = shop.post("/exercises/chords", {}, idempotency_key=uuid.uuid4().hex)
    if answer.status != HTTPStatus.OK:
        raise DemoFailed(f"POST /exercises/chords was answered with {answer.status}: {answer.body}")
    body = answer.body["body"]

    def state() -> str:
        return str(shop.get(f"/api/jobs/{body}").body.get("state"))

    shop.wait_until(lambda: state() in _ENDED, lambda: f"the chord's body is {state()}", _SETTLED_WITHIN)
    story.rows.append((body, state()))
    story.expect(state() == "succeeded", f"The body of a chord that a view has started must succeed, it is {state()}.")
    return story


def schedule_on_every_queue(judgement: Judgement) -> Callable[[Shop], Story]:
    """For every queue an operator makes a schedule, whose job is sent and runs; he deletes them when beat itself has sent to each queue.

    A job that is due lies in the outbox for a moment, and the relay takes it if beat is slower.
    """

    def the_scheduled(shop: Shop) -> Story:
        story = Story(title="Schedules send to every queue", columns=("schedule", "task", "ran"))
        tasks = {f"rehearsal-{queue.name}": task_name(queue) for queue in TOPOLOGY.queues}
        for name, task in tasks.items():
            shop.doing = f"making the schedule {name}"
            made = shop.put(f"/api/schedules/{name}", {"task": task, "every_seconds": 1, "kwargs": {"step": "rest"}})
            story.expect(made.status == HTTPStatus.CREATED, f"The schedule {name} was answered with {made.status}: {made.body}")

        def ran() -> set[str]:
            return {task for task in tasks.values() if shop.get(f"/api/jobs?task={task}&state=succeeded&limit=1").body["items"]}

        def has_beat_sent() -> bool:
            return judgement.has_done("beat", "sqs:SendMessage")

        shop.wait_until(
            lambda: has_beat_sent() and len(ran()) == len(tasks),
            lambda: f"{len(ran())} of {len(tasks)} schedules have sent",
            _SETTLED_WITHIN,
        )
        done = ran()
        for name, task in tasks.items():
            gone = shop.delete(f"/api/schedules/{name}")
            story.expect(gone.status == HTTPStatus.NO_CONTENT, f"Deleting the schedule {name} was answered with {gone.status}: {gone.body}")
            story.rows.append((name, task, str(task in done)))
            story.expect(task in done, f"The schedule {name} must send {task}, and none has run.")
        story.expect(has_beat_sent(), "Beat must send to every queue itself, and has left one to the relay all the time.")
        return story

    return the_scheduled


def _exercise(ids: Mapping[str, tuple[str, str]]) -> str:
    """For Django's shell."""
    return (
        "from celery import current_app\n"
        "from app.topology import TOPOLOGY\n"
        "from scripts.rehearsal.exercises.names import task_name\n"
        f"for queue, (body, delayed) in {dict(ids)!r}.items():\n"
        "    name = task_name(TOPOLOGY.queue(queue))\n"
        "    current_app.send_task(name, kwargs={'step': 'chord', 'text': body})\n"
        f"    current_app.send_task(name, kwargs={{'step': 'rest', 'text': 'x' * {_LARGE}}}, countdown=5, task_id=delayed)\n"
    )


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
