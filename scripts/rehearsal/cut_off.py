"""Orders for dead letters are cut off between what they do and the deletion, because their worker may not delete. The clerk deletes late."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from app.topology import TOPOLOGY
from app.topology.naming import dead_letter_queue_name
from scripts.laptop.demo import Shop, Story
from scripts.rehearsal.dead_letters import await_letters, order
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.judgement import Judgement

_SERVICE, _ACTION, _STATEMENT = "worker-default", "sqs:DeleteMessage", "WorkOffDeadLetters"
_TASK = "engine.work_off_dead_letters"
_CUT_OFF = {"failed", "dead"}
_CUT_OFF_WITHIN = timedelta(seconds=60)
#: A clerk looks every 15 seconds, and again half a minute after it has missed what somebody held.
_DELETED_WITHIN = timedelta(seconds=150)
_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


def discard_without_deleting(aws: EmulatedAws, judgement: Judgement, *, tenant: str, prefix: str) -> Callable[[Shop], Story]:
    """On every queue a tenant's letter is discarded while the worker may not delete it. Then it may again, and the orders are sent back."""

    def the_cut_off(shop: Shop) -> Story:
        story = Story(title="Orders are cut off, and the clerk deletes late", columns=("queue", "without the grant", "sent back"))
        queues = [queue.name for queue in TOPOLOGY.queues]
        with judgement.taken_away(_SERVICE, _ACTION, statement=_STATEMENT) as taken:
            orders = [order(shop, "discards", queue=queue, tenant=tenant) for queue in queues]
            shop.wait_until(lambda: set(_states(shop, orders)) <= _CUT_OFF, lambda: "waiting until orders are cut off", _CUT_OFF_WITHIN)
            story.expect(judgement.is_denied_soon(taken), f"{_SERVICE} deleted dead letters without the grant.")
            cut_off = _states(shop, orders)
        await_letters(shop, task=_TASK, wanted=len(orders), redrives=0)
        order(shop, "redrives", task=_TASK)

        def are_over() -> bool:
            return not _messages(aws, prefix) and set(_states(shop, orders)) == {"succeeded"}

        shop.wait_until(are_over, lambda: f"{_messages(aws, prefix)} dead letters wait", _DELETED_WITHIN)
        ended, left = _states(shop, orders), _messages(aws, prefix)
        for queue, before, after in zip(queues, cut_off, ended, strict=True):
            story.rows.append((queue, before, after))
            story.expect(before in _CUT_OFF, f"{queue}: an order whose worker may not delete must fail, it is {before}.")
            story.expect(after == "succeeded", f"{queue}: an order that is sent back must end, it is {after}.")
        story.expect(left == 0, f"The clerk must delete what was discarded; {left} messages are left.")
        return story

    return the_cut_off


def _states(shop: Shop, orders: list[str]) -> list[str]:
    return [str(shop.get(f"/api/dead-letters/orders/{one}").body.get("state")) for one in orders]


def _messages(aws: EmulatedAws, prefix: str) -> int:
    """In all dead-letter queues, as SQS counts them."""
    sqs: Any = aws.client("sqs")
    found = 0
    for queue in TOPOLOGY.queues:
        url = sqs.get_queue_url(QueueName=dead_letter_queue_name(prefix, queue.name))["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))["Attributes"]
        found += sum(int(attributes[name]) for name in _COUNTS)
    return found
