"""Dramatiq on SQS: another library, on the same queue."""

import dramatiq
from dramatiq_sqs import SQSBroker

from benchmarks.stacks.job import NAME, job
from benchmarks.stacks.surroundings import REGION, Surroundings


class Noop:
    """What the producer calls, under Celery's name for it."""

    def __init__(self, broker: dramatiq.Broker, surroundings: Surroundings) -> None:
        self._actor = dramatiq.actor(job(surroundings), actor_name=NAME, queue_name=surroundings.queue, broker=broker)

    def delay(self, *, sequence: int, sent_at: float, payload: str) -> None:
        self._actor.send(sequence=sequence, sent_at=sent_at, payload=payload)


surroundings = Surroundings.of_this_process()
broker = SQSBroker(endpoint_url=surroundings.address, region_name=REGION)
dramatiq.set_broker(broker)
noop = Noop(broker, surroundings)
