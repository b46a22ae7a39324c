"""From any thread into the event loop: no call is forgotten, none is made twice for nothing."""

import contextlib
import os
import select
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.engine.broker.wakeup import Wakeup
from tests.support.eventually import eventually


class Hub:
    """What a wake-up asks of kombu's event loop."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {}
        self.on_tick: set[Any] = set()
        self._ready: set[Any] = set()

    def add_reader(self, reader: int, callback: Any) -> None:
        self.readers[reader] = callback

    def remove_reader(self, reader: int) -> None:
        del self.readers[reader]

    def turn(self) -> int:
        """One turn of the loop: call what can be read, and return how many that were."""
        for callback in self.on_tick:
            callback()
        ready, _, _ = select.select(list(self.readers), [], [], 0)
        for reader in ready:
            self.readers[reader]()
        return len(ready)


class Loop:
    def __init__(self) -> None:
        self.hub = Hub()
        self.called = 0
        self.wakeup = Wakeup(self.hub, self.work)

    def work(self) -> None:
        self.called += 1


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.wakeup.close()


def test_any_number_of_calls_before_the_loop_looks_is_one(loop: Loop) -> None:
    for _ in range(1000):
        loop.wakeup.set()

    assert loop.hub.turn() == 1
    assert loop.called == 1
    assert loop.hub.turn() == 0


def test_a_call_after_the_loop_has_looked_is_another_one(loop: Loop) -> None:
    loop.wakeup.set()
    loop.hub.turn()

    loop.wakeup.set()

    assert loop.hub.turn() == 1
    assert loop.called == 2


def test_a_call_while_the_loop_works_is_not_forgotten() -> None:
    loop = Loop()
    loop.wakeup._callback = loop.wakeup.set
    loop.wakeup.set()
    loop.hub.turn()

    assert loop.hub.turn() == 1
    loop.wakeup.close()


def test_what_threads_leave_behind_is_seen_however_they_interleave(loop: Loop) -> None:
    threads, rounds = 4, 500
    left: list[int] = []
    seen: list[int] = []
    loop.wakeup._callback = lambda: seen.extend(left[len(seen) :])

    def leave(number: int) -> None:
        for _ in range(rounds):
            left.append(number)
            loop.wakeup.set()

    running = [threading.Thread(target=leave, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()

    def turned() -> int:
        loop.hub.turn()
        return len(seen)

    eventually(turned, threads * rounds)
    for thread in running:
        thread.join(5)


def test_a_call_after_the_end_does_nothing_and_a_second_end_neither(loop: Loop) -> None:
    loop.wakeup.close()
    loop.wakeup.close()

    loop.wakeup.set()

    assert loop.hub.readers == {}
    assert loop.called == 0


def test_a_call_during_the_end_writes_into_nobody_else_s_file(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    closer = threading.Thread(target=loop.wakeup.close)
    was_open: list[bool] = []

    def write(descriptor: int, text: bytes) -> int:
        closer.start()
        closer.join(0.1)
        # The number of a file that was closed is given to the next that is opened.
        was_open.append(not loop.wakeup._is_closed)
        return len(text)

    monkeypatch.setattr(os, "write", write)
    loop.wakeup.set()
    closer.join(5)

    assert was_open == [True]
    assert not closer.is_alive()


def test_a_pipe_that_is_full_is_no_error(loop: Loop) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.write(loop.wakeup._writer, bytes(65536)):
            pass

    loop.wakeup.set()

    assert loop.hub.turn() == 1


def test_a_loop_that_has_forgotten_the_pipe_does_not_keep_it_open(loop: Loop) -> None:
    reader = loop.wakeup._reader
    loop.hub.readers.clear()

    loop.wakeup.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)


def test_what_a_timer_calls_soon_does_not_wait_for_the_end_of_the_poll(loop: Loop) -> None:
    loop.hub._ready.add(print)

    assert loop.hub.turn() == 1


def test_an_end_leaves_nothing_in_the_loop(loop: Loop) -> None:
    loop.wakeup.close()

    assert (loop.hub.readers, loop.hub.on_tick) == ({}, set())
