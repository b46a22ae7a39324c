"""An SQS that is away, in every way that it can be: no worker ends, none goes deaf."""

import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.broker import Broker, Worker
from tests.support.eventually import eventually
from tests.support.faults import Fault

OUTAGES = [
    (Fault.UNAVAILABLE, 1.0),
    (Fault.ERROR, 1.0),
    (Fault.ERROR, 0.3),
    (Fault.THROTTLED, 1.0),
    (Fault.DENIED, 1.0),
    (Fault.REFUSED, 1.0),
    (Fault.RESET, 1.0),
    (Fault.SILENT, 1.0),
    (Fault.GARBAGE, 1.0),
    (Fault.SLOW, 1.0),
]


def outlive(broker: Broker, worker: Worker, fault: Fault, probability: float, seconds: float, first: int, jobs: int = 20) -> None:
    """An outage while jobs wait: the worker lives, goes on within ten seconds of its end, and runs each job."""
    broker.send(f"for job in range({first}, {first + jobs}): note.delay(job)")
    broker.network.fail(None, fault, probability=probability, seconds=3.0)
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, bool, within=seconds + 5)
    before = len(broker.notes("note"))
    broker.network.heal()
    broker.send(f"note.delay({first + jobs})")
    eventually(lambda: len(broker.notes("note")), lambda found: found > before, within=10)
    wanted = set(range(first, first + jobs + 1))
    eventually(lambda: wanted <= set(broker.runs("note")), bool, within=20)
    assert worker.is_running()


def test_an_outage_ends_no_worker_deafens_none_and_loses_nothing(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    worker = broker.start("-c", "2")

    for number, (fault, probability) in enumerate(
        [(Fault.UNAVAILABLE, 1.0), (Fault.REFUSED, 1.0), (Fault.SILENT, 1.0), (Fault.DENIED, 1.0)]
    ):
        outlive(broker, worker, fault, probability, seconds=3, first=1000 * number)


@pytest.mark.long
@pytest.mark.parametrize("round_", [1, 2, 3])
@pytest.mark.parametrize(("fault", "probability"), OUTAGES, ids=lambda value: getattr(value, "name", str(value)))
def test_twenty_seconds_of_any_outage(make_broker: Callable[..., Broker], fault: Fault, probability: float, round_: int) -> None:
    broker = make_broker()

    outlive(broker, broker.start("-c", "2"), fault, probability, seconds=20, first=round_ * 1000)


@pytest.mark.long
def test_a_poll_that_never_ends_is_replaced_and_told(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(options={"wait_time_seconds": 1, "silent_poll_seconds": 11})
    worker = broker.start("-c", "2", "--include", "tests.support.hanging_poll")
    broker.send("for job in range(20): note.delay(job)")
    assert not [request for request in broker.network.requests() if request.operation == "ReceiveMessage"]

    eventually(lambda: broker.runs("note"), Counter(range(20)), within=25)

    assert worker.log.read_text().count("a new receiver takes over") == 1
    assert worker.stop() == 0
