"""``scripts/benchmark``: measure, print the tables, write ``benchmarks/RESULTS.md``."""

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from benchmarks import machine, report
from benchmarks.laboratory import Laboratory
from benchmarks.plan import QUICK, STANDARD, Plan
from benchmarks.producer import ProducerFailed
from benchmarks.reading import Reading
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.stacks import STACKS, Stack
from benchmarks.waiting import TookTooLong
from benchmarks.worker import WorkerEnded

RESULTS = Path(__file__).with_name("RESULTS.md")
_INTERRUPTED = 130
_EXPLANATION = "Measures us beside stock Celery and others, on this machine, in one run, against a fake AWS and a local Redis."
_NOTES = f"""\
stacks:    {", ".join(stack.name for stack in STACKS)}
scenarios: {", ".join(scenario.NAME for scenario in SCENARIOS)}
A filter such as `--only throughput --only prefork` or `--only millrace` keeps what contains all of its words in
"<scenario>, <setting>, <stack>". Ratios need the other stacks in the same run. Take a quiet machine.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    plan = QUICK if options.quick else STANDARD
    began = time.monotonic()
    described = machine.describe()
    readings: list[Reading] = []
    for interruption in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interruption, _leave)
    try:
        with Laboratory.opened(plan.backlog_share) as laboratory:
            for number in range(options.rounds):
                readings += _round(laboratory, plan, number, options)
    except KeyboardInterrupt:
        print("Interrupted: every process has ended, nothing is written.", file=sys.stderr)
        return _INTERRUPTED
    command = shlex.join(["scripts/benchmark", *(sys.argv[1:] if arguments is None else arguments)])
    text = report.write(readings, described, command=command, rounds=options.rounds, seconds=time.monotonic() - began)
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    return 1 if any(reading.missing or reading.values.get("lost") for reading in readings) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/benchmark", description=_EXPLANATION, epilog=_NOTES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer settings, shorter windows: under three minutes")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="repeat everything in turn and report medians with extremes")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="measure only what has this word; may be repeated")
    parser.add_argument(
        "--output", type=Path, default=None, metavar="FILE", help="where to write the report (default: benchmarks/RESULTS.md)"
    )
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds: expected 1 or more, got {options.rounds}")
    # A filtered run must not replace the results of a whole one.
    options.output = options.output or (None if options.only else RESULTS)
    return options


def _round(laboratory: Laboratory, plan: Plan, number: int, options: argparse.Namespace) -> Iterator[Reading]:
    """Stack after stack in each setting, so that what is compared was measured as close together as can be."""
    for scenario in SCENARIOS:
        if number and not scenario.IS_REPEATED:
            continue
        for setting in scenario.settings(plan):
            chosen = [stack for stack in STACKS if _is_wanted(f"{scenario.NAME}, {setting}, {stack.name}", options.only)]
            chosen = [stack for stack in chosen if scenario.concerns(setting, stack)]
            present = [stack for stack in chosen if not stack.absence()]
            for stack in chosen:
                if stack not in present:
                    yield _told(Reading(scenario=scenario.NAME, setting=str(setting), stack=stack.name, absent=stack.absence()), number)
            for stacks in [present] if scenario.MEASURES_AT_ONCE and present else [[stack] for stack in present]:
                for reading in _measure(scenario, laboratory, plan, setting, stacks):
                    yield _told(reading, number)


def _is_wanted(title: str, words: Sequence[str]) -> bool:
    return all(word in title for word in words)


def _measure(scenario: Scenario, laboratory: Laboratory, plan: Plan, setting: Any, stacks: Sequence[Stack]) -> list[Reading]:
    """What could not be measured is a reading, too: the others go on, and the report says why this one is missing."""
    try:
        return scenario.measure(laboratory, plan, setting, stacks)
    except (WorkerEnded, ProducerFailed, TookTooLong) as failure:
        print(failure, file=sys.stderr)
        first, *rest = [line.strip() for line in str(failure).splitlines() if line.strip()]
        # The last line of a traceback is the one that says why.
        reason = " … ".join([first, *rest[-1:]])
        return [Reading(scenario=scenario.NAME, setting=str(setting), stack=stack.name, missing=reason) for stack in stacks]


def _told(reading: Reading, number: int) -> Reading:
    """The same, of that round. One line on stderr as soon as it is known: stdout carries the report."""
    numbers = ", ".join(f"{name} {value:,.4g}" for name, value in reading.values.items())
    said = numbers or reading.missing or reading.absent
    print(f"{number + 1}: {reading.scenario}, {reading.setting}, {reading.stack}: {said}", file=sys.stderr, flush=True)
    return replace(reading, round=number)


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Unwind, so that no process outlives us; even where a shell started us in the background, deaf to Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
