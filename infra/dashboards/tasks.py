"""Panels with a line for each task that has run lately: the topology names no task, so CloudWatch is asked."""

from datetime import timedelta

from app.topology import metrics
from infra.dashboards.measures import PREFIX
from infra.dashboards.panels import Panel, Row, Search

#: Rare events want a longer look than a minute.
PERIOD = timedelta(minutes=5)
_HERE = {metrics.DEPLOYMENT: PREFIX}


def failures() -> Search:
    return Search(label="${PROP('Dim.Task')} ${PROP('Dim.Exception')}", metric=metrics.TASK_FAILURES, statistic="Sum", where=_HERE)


def by_task() -> Row:
    return Row(
        title="By task",
        text="A task that appears here and not above is slow or ill by itself; all of them at once are a database or a partner.",
        panels=(
            Panel(title="Failures", axis="runs in 5 minutes", width=6, lines=(failures(),), is_stacked=True, period=PERIOD),
            Panel(
                title="Retries",
                axis="runs in 5 minutes",
                width=6,
                lines=(Search(label="${PROP('Dim.Task')}", metric=metrics.TASK_RETRIES, statistic="Sum", where=_HERE),),
                is_stacked=True,
                period=PERIOD,
            ),
            Panel(
                title="Runs that ended",
                axis="in 5 minutes",
                width=6,
                lines=(Search(label="${PROP('Dim.Task')}", metric=metrics.TASK_RUNS, statistic="Sum", where=_HERE),),
                is_stacked=True,
                period=PERIOD,
            ),
            Panel(
                title="Run time, 95 of 100",
                axis="milliseconds",
                width=6,
                lines=(Search(label="${PROP('Dim.Task')}", metric=metrics.TASK_RUN_TIME, statistic="p95", where=_HERE),),
                period=PERIOD,
            ),
        ),
    )
