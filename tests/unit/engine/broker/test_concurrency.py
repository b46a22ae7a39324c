"""Where the transport cannot work it says so at the start."""

import pytest
from celery import current_app

from app.engine.broker import concurrency
from app.engine.broker.errors import BrokerMisconfigured
from app.engine.broker.program import Program


@pytest.fixture(autouse=True)
def _eventlet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "detect_environment", lambda: "eventlet")


def test_a_worker_of_eventlets_does_not_start() -> None:
    with pytest.raises(BrokerMisconfigured, match="does not work with eventlet"):
        _ = current_app.connection_for_read().transport


def test_a_program_of_eventlets_sends_nothing() -> None:
    program = Program("program", set_as_current=False)
    program.conf.update(current_app.conf)

    with pytest.raises(BrokerMisconfigured, match="does not work with eventlet"):
        program.send_task("payments.capture")
