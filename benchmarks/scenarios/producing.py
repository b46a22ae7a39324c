"""What does it cost to publish a job, one by one, in a group, and in bulk? And what travels for a payload of 1,000 bytes?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from benchmarks.laboratory import Laboratory
from benchmarks.plan import NO_LATENCY, Plan
from benchmarks.producer import WARM_UP, produce
from benchmarks.reading import Reading
from benchmarks.stacks import Stack, Way

IS_REPEATED = True
MEASURES_AT_ONCE = False
NAME = "producing"
_REQUESTS = ("SendMessage", "SendMessageBatch", "BatchWriteItem")


@dataclass(frozen=True, slots=True)
class Setting:
    """How it publishes, how far away AWS is, and whether the program has a result backend: ours then records each job that is enqueued."""

    way: Way
    latency: timedelta
    stores_results: bool = False

    def __str__(self) -> str:
        return f"{self.way}, {self.latency / timedelta(milliseconds=1):.0f} ms" + (", results" if self.stores_results else "")


def settings(plan: Plan) -> Sequence[Setting]:
    return tuple(Setting(way, latency, has) for has in (False, True) for latency in plan.producer_latencies for way in Way)


def concerns(setting: Setting, stack: Stack) -> bool:
    return setting.way in stack.ways and (stack.can_store_results or not setting.stores_results)


def measure(laboratory: Laboratory, plan: Plan, setting: Setting, stacks: Sequence[Stack]) -> list[Reading]:
    return [_measure(laboratory, plan.productions, setting, stack) for stack in stacks]


def _measure(laboratory: Laboratory, count: int, setting: Setting, stack: Stack) -> Reading:
    broker = laboratory.broker(stack)
    broker.set_latency(setting.latency)
    surroundings = laboratory.surroundings(stack, stores_results=setting.stores_results)
    broker.clear()
    before = broker.account()
    production = produce(stack, surroundings, setting.way, count)
    after = broker.account()
    broker.clear()
    broker.set_latency(NO_LATENCY)
    sent = production.sent + WARM_UP
    arrived = after.since(before, stack.name, "sent")
    requests = after.requests_since(before)
    return Reading(
        scenario=NAME,
        setting=str(setting),
        stack=stack.name,
        values={
            "CPU µs/message": production.cpu_seconds / production.sent * 1_000_000,
            "messages/s": production.sent / production.wall_seconds,
            "bytes/message": (after.sent_bytes - before.sent_bytes) / sent,
            "lost": max(0, sent - arrived),
            "double": max(0, arrived - sent),
        },
        requests={operation: requests[operation] / sent for operation in _REQUESTS if requests[operation]},
    )
