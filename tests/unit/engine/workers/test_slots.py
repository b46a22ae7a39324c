import json
from dataclasses import replace

import pytest

from app.engine.conf import engine_settings
from app.engine.workers.slots import EVERY_SECONDS, SlotFigures
from app.topology.metrics import WORKER_SLOTS, WORKER_SLOTS_BUSY
from tests.unit.engine.workers.records import WORKER


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_tells_its_slots_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    figures = SlotFigures(engine_settings(), clock)
    worker = replace(WORKER, slots=4, busy=3)

    for _ in range(25):
        figures.tell(worker)
        clock.now += EVERY_SECONDS / 12

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line[WORKER_SLOTS.name], line[WORKER_SLOTS_BUSY.name]) for line in told] == [([4], [3])] * 3
