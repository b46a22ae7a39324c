"""Tables that a person reads, on a terminal and in RESULTS.md."""

import math
from collections.abc import Iterable, Sequence

from benchmarks.scaling.runs import Summary
from benchmarks.scaling.traces import Trace
from benchmarks.scaling.verdict import Verdict

_COLUMNS = ("policy", "p50 s", "p95 s", "p99 s", "in goal", "task-hours", "x least", "runs lost", "lost s", "never ran")


def of_trace(trace: Trace, summaries: Sequence[Summary]) -> str:
    scaling = trace.scaling
    return "\n\n".join(
        (
            f"## {trace.name}",
            (
                f"{trace.purpose} {trace.slots} slots a task, {scaling.minimum} to {scaling.maximum} tasks, goal {trace.goal_seconds:g} s, "
                f"mode {scaling.mode}, mean run {scaling.expected_run_time.total_seconds():.3g} s."
            ),
            table(_COLUMNS, (_row(summary) for summary in summaries)),
        )
    )


def _row(summary: Summary) -> tuple[str, ...]:
    return (
        summary.way,
        *(_seconds(value) for value in (summary.p50, summary.p95, summary.p99)),
        f"{summary.in_goal:.1%}",
        f"{summary.task_hours:.2f}",
        f"{summary.over_lower_bound:.2f}",
        f"{summary.kills:.1f}",
        f"{summary.lost_seconds:.0f}",
        f"{summary.unfinished:.1f}",
    )


def of_verdicts(verdicts: Iterable[Verdict]) -> str:
    columns = ("trace", "p95 of QueueProcessing's", "p95 of the best native", "hours of the cheapest in goal", "missed")
    rows = [
        (
            verdict.trace,
            f"{verdict.of_queue_processing:.2f}",
            f"{verdict.of_best_native:.2f}",
            "nobody is in goal" if verdict.of_cheapest is None else f"{verdict.of_cheapest:.2f} ({verdict.cheapest})",
            ", ".join(verdict.misses) or "nothing",
        )
        for verdict in verdicts
    ]
    return table(columns, rows)


def of_conditions(rows: Iterable[tuple[str, Summary]]) -> str:
    columns = ("trace", "policy", "condition", "p95 s", "in goal", "task-hours", "never ran")
    return table(
        columns,
        (
            (each.trace, each.way, condition, _seconds(each.p95), f"{each.in_goal:.1%}", f"{each.task_hours:.2f}", f"{each.unfinished:.1f}")
            for condition, each in rows
        ),
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [tuple(columns), *map(tuple, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    head, *rest = (" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(f"| {line} |" for line in (head, " | ".join("-" * width for width in widths), *rest))


def _seconds(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.1f}"
