"""``python -m benchmarks.scaling``: compare the ways to scale, on our traces or on yours."""

import argparse
import random
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.topology import TOPOLOGY, ScalingMode, ScalingPolicy, TopologyError
from benchmarks.scaling import plot, report
from benchmarks.scaling.policies import OTHERS, OURS, QUEUE_PROCESSING, SILENT, Conditions, Family, ways_for
from benchmarks.scaling.runs import Summary, compare, run
from benchmarks.scaling.traces import TRACES, Trace, TraceRefused, asked, replayed
from benchmarks.scaling.verdict import Verdict, judge

HERE = Path(__file__).parent
_EXPLANATION = "Simulate how a worker service scales: waits, task-hours and lost work of our policy and of others, on the same jobs."
_NOTES = """\
Your own numbers:   --trace spike --slots 8 --run-time 0.5 --goal 30
One of our services: --service worker-emails --trace burst
Your own jobs:      --replay jobs.csv, with the columns at and run_seconds
"""
_HEAD = """\
# How the ways to scale behave

Written by `{command}` on {date}, {seeds} seeds, {seconds:.0f} s. A simulation: compare ratios, not seconds. What is modelled, and what is
not, is said at the head of `world.py` and `alarms.py`; what it means, in [scaling](../../docs/explanation/scaling.md).

*x least*: task-hours over those that the runs alone need. *Runs lost*: killed in the middle, and repeated. CloudWatch's figures are
{delay:g} s late. Waits are means of the seeds' quantiles.
"""
#: Beside ours: more curves than these nobody can tell apart.
_DRAWN = ("tracking visible", "tracking backlog per task", "KEDA, queueLength 5")
#: What must not break it. The first is what the tables above assume.
CONDITIONS = {
    "as planned": Conditions(),
    "mean run believed to be half": Conditions(run_time_error=0.5),
    "mean run believed to be double": Conditions(run_time_error=2.0),
    "CloudWatch's figures 180 s late": Conditions(metric_delay=180.0),
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    conditions = Conditions(metric_delay=options.metric_delay)
    began = time.monotonic()
    sections: list[str] = []
    verdicts: list[Verdict] = []
    compared: list[tuple[str, Summary]] = []
    try:
        for traces in _traces(options):
            summaries = [compare(traces, way, conditions) for way in ways_for(traces[0])]
            sections.append(report.of_trace(traces[0], summaries))
            print(sections[-1], end="\n\n", flush=True)
            verdicts.append(judge(traces[0].goal_seconds, summaries))
            if options.plot:
                _draw(options.plot, traces[0], conditions)
            if options.conditions:
                compared += _under_conditions(traces)
    except (TraceRefused, TopologyError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    sections.insert(0, f"## What holds\n\n{report.of_verdicts(verdicts)}")
    print(sections[0])
    if compared:
        sections.append(f"## Under worse conditions\n\n{report.of_conditions(compared)}")
        print(f"\n{sections[-1]}")
    if options.output:
        command = shlex.join(["python", "-m", "benchmarks.scaling", *(sys.argv[1:] if arguments is None else arguments)])
        head = _HEAD.format(
            command=command,
            date=datetime.now(UTC).date(),
            seeds=options.seeds,
            seconds=time.monotonic() - began,
            delay=options.metric_delay,
        )
        options.output.write_text("\n\n".join((head.rstrip(), *sections)) + "\n", encoding="utf-8")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=_EXPLANATION, epilog=_NOTES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", action="append", choices=list(TRACES), help="only this one; again for more")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="jobs of your own, CSV or lines of JSON, instead of a trace")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each, with other jobs and other starts")
    services = [service.name for service in TOPOLOGY.services if service.scaling is not None]
    parser.add_argument("--service", choices=services, help="with the slots and the policy of this service of ours")
    parser.add_argument("--slots", type=int, help="jobs that one task runs at a time")
    parser.add_argument("--run-time", type=float, metavar="SECONDS", help="of a mean run")
    parser.add_argument("--goal", "--slo", type=float, metavar="SECONDS", help="how long a job should wait at most")
    parser.add_argument("--minimum", type=int, help="tasks that are kept without work")
    parser.add_argument("--maximum", type=int, help="tasks that it may cost")
    parser.add_argument("--mode", type=ScalingMode, choices=list(ScalingMode), help="latency or economy")
    parser.add_argument("--metric-delay", type=float, default=60.0, metavar="SECONDS", help="how late CloudWatch's own figures are")
    parser.add_argument("--conditions", action="store_true", help="wrong run times and late figures, too")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw an SVG of each trace there")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables there, too")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or (options.slots is not None and options.slots < 1) or (options.run_time is not None and options.run_time <= 0):
        parser.error("--seeds, --slots and --run-time: expected more than 0")
    return options


def _traces(options: argparse.Namespace) -> Iterator[list[Trace]]:
    """One of each seed."""
    if options.replay:
        like = TRACES["spike"](random.Random(0))
        yield [_asked(replayed(options.replay, like), options)] * options.seeds
        return
    for name in options.trace or TRACES:
        made = [TRACES[name](random.Random(f"{name} {seed}")) for seed in range(options.seeds)]
        yield [_asked(trace, options) for trace in made]


def _asked(trace: Trace, options: argparse.Namespace) -> Trace:
    """Raises :class:`TopologyError` if the numbers do not fit together."""
    service = TOPOLOGY.service(options.service) if options.service else None

    def scaled(policy: ScalingPolicy) -> ScalingPolicy:
        if service is not None and service.scaling is not None:
            policy = replace(service.scaling, expected_run_time=policy.expected_run_time)
        changes = {name: getattr(options, name) for name in ("minimum", "maximum", "mode") if getattr(options, name) is not None}
        if options.goal is not None:
            changes["wait_goal"] = timedelta(seconds=options.goal)
        return replace(policy, **changes)

    return asked(trace, slots=options.slots or (service.slots if service else None), run_seconds=options.run_time, scaling=scaled)


def _under_conditions(traces: Sequence[Trace]) -> Iterator[tuple[str, Summary]]:
    for name, conditions in CONDITIONS.items():
        yield name, compare(traces, OURS, conditions)
    yield "as planned", compare(traces, SILENT, Conditions())
    late = CONDITIONS["CloudWatch's figures 180 s late"]
    for way in (SILENT, *(way for way in OTHERS if way.family is Family.CLOUDWATCH)):
        yield "CloudWatch's figures 180 s late", compare(traces, way, late)


def _draw(folder: Path, trace: Trace, conditions: Conditions) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ways = (OURS, SILENT, QUEUE_PROCESSING, *(way for way in OTHERS if way.name in _DRAWN))
    outcomes = {way.name: run(trace, way, 0, conditions) for way in ways}
    (folder / f"{trace.name}.svg").write_text(plot.svg(f"{trace.name}: {trace.purpose}", outcomes), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
