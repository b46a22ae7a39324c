"""Several queues at one worker: each has its share, and none starves."""

from collections import Counter
from collections.abc import Callable

from tests.support.broker import Broker
from tests.support.eventually import eventually

BUSY, QUIET = "busy", "quiet"
PROMPT_SECONDS = 2


def test_a_flooded_queue_keeps_no_job_of_another_waiting(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(weights={BUSY: 10, QUIET: 1})
    broker.send("from app.engine.broker.bulk import publish_many\npublish_many(take, [(job, 0.05) for job in range(4000)])")
    broker.start("-c", "2", "-Q", f"{BUSY},{QUIET}")
    eventually(lambda: len(broker.runs("end")) > 20)
    for job in range(5):
        told = broker.send(f"note.apply_async((-1,), queue='{QUIET}')\nprint(time.time())\nnote.apply_async(({job},), queue='{QUIET}')")
        eventually(lambda wanted=job: broker.runs("note")[wanted], 1)  # type: ignore[misc]
        (ran_at,) = (at for noted, at in broker.notes("note") if noted == job)
        assert ran_at - float(told) < PROMPT_SECONDS
    assert broker.depth()[0] > 100


def test_queues_that_are_all_full_share_a_worker_by_their_weights(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(weights={BUSY: 3, QUIET: 1})
    for queue in (BUSY, QUIET):
        broker.send(f"from app.engine.broker.bulk import publish_many\npublish_many(take, [('{queue}', 0.02)] * 400, queue='{queue}')")
    broker.start("-c", "2", "-Q", f"{BUSY},{QUIET}")

    eventually(lambda: len(broker.notes("end")) > 300, within=40)

    shares = Counter(queue for queue, _ in broker.notes("end")[:300])
    assert 0.65 < shares[BUSY] / 300 < 0.85
