"""Which queue carries a task."""

from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.topology import TOPOLOGY
from tests.unit.topology.test_policies import QUEUE, WORKER
from tests.unit.topology.test_policies import TOPOLOGY as SMALL

LETTERS = replace(QUEUE, routes=("letters.*",))
EXPRESS = replace(QUEUE, name="express", routes=("letters.send_*", "express.*"))
TWO_QUEUES = replace(SMALL, queues=(LETTERS, EXPRESS), services=(replace(WORKER, consumes=("letters", "express")),))


@pytest.mark.parametrize(
    ("task", "queue"),
    [("letters.write", "letters"), ("letters.send_now", "express"), ("letters.resend_now", "letters"), ("express.ride", "express")],
)
def test_the_longest_pattern_that_fits_decides(task: str, queue: str) -> None:
    found = TWO_QUEUES.queue_for(task)

    assert found is not None
    assert found.name == queue


def test_the_order_of_the_queues_does_not_matter() -> None:
    turned = replace(TWO_QUEUES, queues=(EXPRESS, LETTERS))

    assert turned.queue_for("letters.send_now") == EXPRESS
    assert turned.queue_for("letters.write") == LETTERS


@pytest.mark.parametrize("task", ["leters.write", "Letters.write", "letters", "", "letters_write", " letters.write"])
def test_a_misspelt_task_has_no_queue(task: str) -> None:
    assert TWO_QUEUES.queue_for(task) is None


@given(st.one_of(st.text(max_size=40), st.from_regex(r"(payments|mailings|images|reports|celery|engine)\.[a-z_]{1,20}", fullmatch=True)))
@settings(max_examples=200)
def test_every_name_whatever_it_is_has_the_queue_of_a_pattern_that_fits_or_none(task: str) -> None:
    queue = TOPOLOGY.queue_for(task)

    fitting = [route for each in TOPOLOGY.queues for route in each.routes if fnmatchcase(task, route)]
    if queue is None:
        assert fitting == []
    else:
        assert max(map(len, fitting)) in {len(route) for route in queue.routes if route in fitting}
