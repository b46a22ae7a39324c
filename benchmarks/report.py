"""The tables of a run, as Markdown that is also readable in a terminal."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from statistics import median

from benchmarks.reading import Reading
from benchmarks.stacks import MILLRACE, STACKS, Stack, Way

_TITLES = {
    "throughput": "Working off a backlog",
    "latency": "From `delay()` to the first line of the job",
    "idle": "A worker with nothing to do",
    "producing": "Publishing",
    "endurance": "A hundred thousand jobs later",
}
#: The number of each scenario that the ratios are about, and whether more is better.
_RATED = {
    "throughput": (("tasks/s", True), ("CPU ms/task", False)),
    "latency": (("p50 ms", False), ("p50 above the floor ms", False), ("p99 ms", False)),
    "idle": (("receives/min", False),),
    "producing": (("CPU µs/message", False), ("bytes/message", False)),
    "endurance": (),
}
#: Said only when they are not what they should be.
_ALARMS = ("lost", "double")
_HIDDEN = (*_ALARMS, "drained", "tasks", "broker's CPU share")
_BUSY_BROKER = 0.8
_REQUEST_SHOWN_FROM = 0.005


def write(readings: Sequence[Reading], machine: Mapping[str, str], *, command: str, rounds: int, seconds: float) -> str:
    """The whole report. Ratios are of the same round; of several rounds it shows the median and, in brackets, the extremes."""
    date = datetime.now(UTC)
    lines = ["# Results", "", f"Written by `{command}` on {date:%Y-%m-%d %H:%M} UTC; {rounds} round(s), {seconds / 60:.1f} minutes.", ""]
    lines += [f"- {name}: {said}" for name, said in machine.items()]
    lines += [f"- **{stack.name}**: {stack.says}" for stack in STACKS if any(reading.stack == stack.name for reading in readings)]
    lines += ["", "How it is measured, and what it does not say: [README.md](README.md).", ""]
    for scenario, group in groupby(readings_in_order(readings), key=lambda reading: reading.scenario):
        same = list(group)
        lines += [f"## {_TITLES[scenario]}", "", *_table(same), "", *_ratios(same)]
    lines += _notes(readings)
    return "\n".join(lines).rstrip() + "\n"


def readings_in_order(readings: Sequence[Reading]) -> list[Reading]:
    """By scenario, setting, stack and round; scenarios and settings as they were met first."""
    scenarios = list(dict.fromkeys(reading.scenario for reading in readings))
    settings = list(dict.fromkeys((reading.scenario, reading.setting) for reading in readings))
    stacks = [stack.name for stack in STACKS]
    return sorted(
        readings,
        key=lambda one: (
            scenarios.index(one.scenario),
            settings.index((one.scenario, one.setting)),
            stacks.index(one.stack),
            one.round,
        ),
    )


def _table(readings: Sequence[Reading]) -> list[str]:
    shown = [name for name in dict.fromkeys(name for reading in readings for name in reading.values) if name not in _HIDDEN]
    has_requests = any(reading.requests for reading in readings)
    # Where nobody has a number, those who are absent still have a row.
    header = ["setting", "stack", *(shown or ["not measured"])]
    header += ["AWS requests per task"] if has_requests else []
    rows = []
    for (setting, stack), group in groupby(readings, key=lambda reading: (reading.setting, reading.stack)):
        readings_here = list(group)
        if absent := readings_here[0].absent:
            rows.append([setting, stack, absent, *[""] * (len(header) - 3)])
            continue
        same = [reading for reading in readings_here if not reading.missing]
        if not same:
            continue
        row = [setting, stack, *(_spread(reading.values[name] for reading in same if name in reading.values) for name in shown)]
        row += [_requests(same)] if has_requests else []
        rows.append(row)
    return _markdown(header, rows)


def _ratios(readings: Sequence[Reading]) -> list[str]:
    """How many times better we are than each of the others, a row for each number that matters."""
    ours = [reading for reading in readings if reading.stack == MILLRACE.name and reading.values]
    others = [stack for stack in STACKS if stack is not MILLRACE and any(one.stack == stack.name and one.values for one in readings)]
    rated = _RATED[readings[0].scenario]
    if not (ours and others and rated):
        return []
    settings = {setting: list(group) for setting, group in groupby(ours, key=lambda reading: reading.setting)}
    rows = [
        [setting, name, *(_ratio(same, readings, other, name, is_more_better=is_more_better) for other in others)]
        for name, is_more_better in rated
        for setting, same in settings.items()
    ]
    said = f"How many times better `{MILLRACE.name}` is, in the same setting and round: 2.00 is twice the rate, or half the cost."
    return [said, "", *_markdown(["setting", "", *(f"vs {stack.name}" for stack in others)], rows), ""]


def _ratio(same: Sequence[Reading], all_readings: Sequence[Reading], base: Stack, name: str, *, is_more_better: bool) -> str:
    setting = same[0].setting
    if Way.BULK not in base.ways:
        # They know no bulk: what they do instead is one by one.
        setting = setting.replace(Way.BULK, Way.DELAY, 1)
    bases = {
        one.round: one.values[name] for one in all_readings if one.stack == base.name and one.setting == setting and name in one.values
    }
    return _times(
        [(reading.values[name], bases[reading.round]) for reading in same if reading.round in bases], is_more_better=is_more_better
    )


def _times(pairs: Iterable[tuple[float, float]], *, is_more_better: bool) -> str:
    ratios = [ours / theirs if is_more_better else theirs / ours for ours, theirs in pairs if ours > 0 and theirs > 0]
    return _spread((ratio for ratio in ratios if not math.isnan(ratio)), _ratio_text)


def _requests(same: Sequence[Reading]) -> str:
    operations = sorted({operation for reading in same for operation in reading.requests})
    means = {operation: median(reading.requests.get(operation, 0.0) for reading in same) for operation in operations}
    listed = [f"{count:.2f} {operation}" for operation, count in means.items() if count >= _REQUEST_SHOWN_FROM]
    return f"**{sum(means.values()):.2f}** = " + " + ".join(listed) if listed else ""


def _spread(numbers: Iterable[float], text: Callable[[float], str] | None = None) -> str:
    known = list(numbers)
    if not known:
        return ""
    write_one = text or _number
    middle = write_one(median(known))
    return middle if len(known) == 1 else f"{middle} ({write_one(min(known))}..{write_one(max(known))})"


def _ratio_text(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"  # noqa: PLR2004 — three digits


def _number(value: float) -> str:
    if math.isinf(value):
        return "never"
    for least, digits in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.3f}" if value else "0"


def _notes(readings: Sequence[Reading]) -> list[str]:
    def where(reading: Reading) -> str:
        return f"{reading.scenario}, {reading.setting}, {reading.stack}, round {reading.round + 1}"

    notes = [f"- Not measured: {where(reading)}: {reading.missing}" for reading in readings if reading.missing]
    for reading in readings:
        notes += [f"- **{name}: {reading.values[name]:.0f}** ({where(reading)})" for name in _ALARMS if reading.values.get(name)]
        if (share := reading.values.get("broker's CPU share", 0)) > _BUSY_BROKER:
            notes.append(f"- The broker was busy {share:.0%} of the time, so that it held up the stack: {where(reading)}")
    counted = sum(reading.values.get("tasks", 0) for reading in readings)
    if counted and not any(reading.values.get(name) for reading in readings for name in _ALARMS):
        notes.append(f"- Of the {counted:,.0f} jobs of backlogs none was lost and none ran twice.")
    return ["## Notes", "", *notes] if notes else []


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    is_left = [name in {"setting", "stack", "", "AWS requests per task"} for name in header]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) if left else cell.rjust(width) for cell, width, left in zip(cells, widths, is_left, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 1) + ("-" if left else ":") for width, left in zip(widths, is_left, strict=True))
    return [line(header), f"|{rule}|", *map(line, rows)]
