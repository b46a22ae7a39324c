"""A CloudWatch dashboard."""

from collections.abc import Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from app.topology.naming import dashboard_name
from infra.constructs.measured import measured
from infra.dashboards.panels import Board, Formula, Line, Panel, Row, Search


class BoardDashboard(Construct):
    """Draws a board. ``names`` are those of ``app.topology.policies.PLACEHOLDERS``."""

    def __init__(self, scope: Construct, *, board: Board, names: Mapping[str, str], alarms: Sequence[cloudwatch.IAlarm]) -> None:
        super().__init__(scope, f"Dashboard-{board.name}")
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=dashboard_name(names["prefix"], board.name),
            default_interval=Duration.seconds(board.shown.total_seconds()),
        )
        if board.shows_alarms:
            for group in board.alarm_groups(alarms):
                self.dashboard.add_widgets(_alarms(group, board))
        for row in board.rows:
            self.dashboard.add_widgets(_heading(row, board.columns))
            self.dashboard.add_widgets(*(_graph(panel, names) for panel in row.panels))


def _alarms(alarms: Sequence[cloudwatch.IAlarm], board: Board) -> cloudwatch.AlarmStatusWidget:
    return cloudwatch.AlarmStatusWidget(
        title="Alarms",
        alarms=list(alarms),
        width=board.columns,
        height=board.alarms_height,
        sort_by=cloudwatch.AlarmStatusWidgetSortBy.STATE_UPDATED_TIMESTAMP,
    )


def _heading(row: Row, columns: int) -> cloudwatch.TextWidget:
    return cloudwatch.TextWidget(markdown=f"## {row.title}\n{row.text}", width=columns, height=row.heading_height)


def _graph(panel: Panel, names: Mapping[str, str]) -> cloudwatch.GraphWidget:
    period = Duration.seconds(panel.period.total_seconds())
    limit = panel.limit
    return cloudwatch.GraphWidget(
        title=panel.title,
        left=[_metric(line, names, period) for line in panel.lines],
        left_y_axis=cloudwatch.YAxisProps(label=panel.axis, min=panel.lowest, show_units=False),
        left_annotations=[cloudwatch.HorizontalAnnotation(label=limit.label, value=limit.value)] if limit else None,
        stacked=panel.is_stacked,
        period=period,
        width=panel.width,
        height=panel.height,
    )


def _metric(line: Line | Formula | Search, names: Mapping[str, str], period: Duration) -> cloudwatch.IMetric:
    if isinstance(line, Line):
        return measured(line.measure, names, period, label=line.label)
    if isinstance(line, Search):
        return cloudwatch.MathExpression(expression=line.expression.format_map(names), using_metrics={}, label=line.label, period=period)
    metrics = {name: measured(measure, names, period) for name, measure in line.measures.items()}
    return cloudwatch.MathExpression(expression=line.expression, using_metrics=metrics, label=line.label, period=period)
