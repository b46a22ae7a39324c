"""``/exercises``: a view that does what a user's may do and the shop's do not."""

import uuid

from celery import chord, current_app
from django.http import HttpRequest
from ninja import Router, Schema

from app.topology import TOPOLOGY
from scripts.rehearsal.exercises.names import task_name

router = Router()


class ChordAnswer(Schema):
    body: str
    """The id of the job that comes last."""


@router.post("/chords", response=ChordAnswer)
def start_chord(request: HttpRequest) -> dict[str, str]:  # noqa: ARG001 — ninja passes it to each view
    """Of one job of each queue. Sent twice, it is two."""
    body = uuid.uuid4().hex
    parts = [current_app.tasks[task_name(queue)].s(step="rest") for queue in TOPOLOGY.queues]
    chord(parts)(parts[0].clone().set(task_id=body))
    return {"body": body}
