"""The command ``queues``: a line for each queue, or JSON."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from app.engine.aws.errors import AwsUnavailable
from app.engine.aws.queue_depth import QueueDepth

DEPTHS = (
    QueueDepth(queue="default", visible=1200, in_flight=8, delayed=3, dead=1, oldest=timedelta(seconds=90.4)),
    QueueDepth(queue="emails", visible=0, in_flight=0, delayed=0, dead=0, oldest=None),
)


@pytest.fixture
def depths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.management.commands.queues.read_queue_depths", lambda _: DEPTHS)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("queues", *arguments, stdout=out)
    return out.getvalue()


def test_each_queue_is_a_line(depths: None) -> None:
    assert [line.split() for line in run().splitlines()[1:]] == [
        ["default", "1200", "8", "3", "1", "0:01:30"],
        ["emails", "0", "0", "0", "0", "-"],
    ]


def test_programs_read_json(depths: None) -> None:
    assert json.loads(run("--json"))[0] == {
        "queue": "default",
        "waiting": 1200,
        "held": 8,
        "delayed": 3,
        "dead": 1,
        "oldest_seconds": 90.4,
    }


def test_an_aws_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Any) -> Any:
        raise AwsUnavailable("SQS does not answer.")

    monkeypatch.setattr("app.engine.management.commands.queues.read_queue_depths", away)

    with pytest.raises(CommandError, match="SQS does not answer"):
        run()
