"""What the rehearsal has shown so far, told as it happens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.laptop.terminal import Terminal

_SHOWN = 12


class Findings:
    """Claims that held, and problems. One problem makes the rehearsal fail; it goes on, to show the others."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.claims = 0
        self.problems: list[str] = []

    def say(self, text: str = "") -> None:
        self._terminal.say(text)

    def expect(self, is_so: bool, claim: str, problem: str) -> None:
        """Tell the claim if it is so, else note the problem."""
        if is_so:
            self.claims += 1
            self.say(f"  ✓ {claim}")
        else:
            self.problems.append(problem)
            self.say(f"  ✗ {problem}")

    def expect_none(self, found: list[str], claim: str, problem: str) -> None:
        """A claim that holds if nothing was found against it; else the first of what was found are told."""
        told = "".join(f"\n      {one}" for one in found[:_SHOWN])
        more = f"\n      … and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        self.expect(not found, claim, f"{problem}:{told}{more}")

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """One part of the rehearsal, with the time that it took."""
        self.say(f"\n{title}")
        began = time.monotonic()
        yield
        self.say(f"  took {time.monotonic() - began:.1f} s")
