"""What a person sees at night: everything of the topology, on dashboards that CloudWatch accepts."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator

from app.topology import TOPOLOGY, Measure, QueuePolicy, aws_metrics, metrics
from app.topology.naming import dashboard_name, queue_name, service_name, table_name
from app.topology.policies import PLACEHOLDERS
from app.topology.services import worker_service
from infra.dashboards import dashboards_of
from infra.dashboards.panels import Board, DashboardImpossible, Formula, Line, Panel, Row, Search
from infra.stages import DEV
from tests.infra.conftest import Synthesise
from tests.infra.templates import Templates

PREFIX = "millrace-prod"
BOARDS = dashboards_of(TOPOLOGY)
LINES = [
    pytest.param(line, id=f"{board.name}-{row.title}-{panel.title}-{line.label}")
    for board in BOARDS
    for row in board.rows
    for panel in row.panels
    for line in panel.lines
]
LETTERS = QueuePolicy(name="letters", purpose="Paper.", routes=("letters.*",))
WITH_LETTERS = replace(
    TOPOLOGY,
    queues=(*TOPOLOGY.queues, LETTERS),
    services=(*TOPOLOGY.services, worker_service(LETTERS, slots=3, scaling=TOPOLOGY.service("worker-default").scaling)),  # type: ignore[arg-type]  # it has one
)


def _text(value: Any) -> str:
    """A body as CloudFormation will write it; what is known at deployment only is a word."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        joined: str = separator.join(_text(part) for part in parts)
        return joined
    ((function, argument),) = value.items()
    return f"{function}-{'-'.join(argument) if isinstance(argument, list) else argument}"


def _bodies(templates: Templates) -> dict[str, Any]:
    dashboards = templates.properties("AWS::CloudWatch::Dashboard", "DashboardName")
    return {name: json.loads(_text(properties["DashboardBody"])) for name, properties in dashboards.items()}


def _metrics(body: Any) -> Iterator[tuple[str, str, dict[str, str], str]]:
    """Namespace, name, dimensions and statistic of every metric of a body, with CloudWatch's shorthand written out."""
    for widget in body["widgets"]:
        before: list[Any] = []
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):  # an expression
                continue
            *names, options = metric
            names = [before[position] if name == "." else name for position, name in enumerate(names)]
            before = names
            yield names[0], names[1], dict(zip(names[2::2], names[3::2], strict=True)), options.get("stat", "Average")


def _measures(line: Line | Formula | Search) -> list[Measure]:
    return [line.measure] if isinstance(line, Line) else [*line.measures.values()] if isinstance(line, Formula) else []


# -- CloudWatch accepts them ----------------------------------------------------------------------------------------
def test_cloudwatch_s_own_model_accepts_every_dashboard(dev: Templates, prod: Templates) -> None:
    client = boto3.session.Session(region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x").client("cloudwatch")
    shape = client.meta.service_model.operation_model("PutDashboard").input_shape
    assert shape is not None

    for templates in (dev, prod):
        bodies = _bodies(templates)
        assert len(bodies) == len(BOARDS)
        for name, body in bodies.items():
            parameters = {"DashboardName": name, "DashboardBody": json.dumps(body)}
            assert ParamValidator().validate(parameters, shape).generate_report() == ""


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_template_draws_each_panel_of_its_board_in_order_inside_the_grid(prod: Templates, board: Board) -> None:
    widgets = _bodies(prod)[dashboard_name(PREFIX, board.name)]["widgets"]

    drawn = [(widget["properties"]["title"], widget["width"], widget["height"]) for widget in widgets if widget["type"] == "metric"]
    assert drawn == [(panel.title, panel.width, panel.height) for row in board.rows for panel in row.panels]
    assert all(widget["x"] + widget["width"] <= 24 for widget in widgets)
    assert [widget["y"] for widget in widgets] == sorted(widget["y"] for widget in widgets)
    assert all({"title", "region", "metrics", "period"} <= set(widget["properties"]) for widget in widgets if widget["type"] == "metric")


def test_what_hurts_comes_first(prod: Templates) -> None:
    alarms, heading, *_ = _bodies(prod)[dashboard_name(PREFIX, "overview")]["widgets"]

    assert alarms["type"] == "alarm"
    assert len(alarms["properties"]["alarms"]) == len(TOPOLOGY.alarms)
    assert heading["properties"]["markdown"].startswith("## What hurts")


# -- and shows what exists ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("line", LINES)
def test_a_line_reads_a_metric_that_somebody_publishes(line: Line | Formula | Search) -> None:
    read = [line.metric] if isinstance(line, Search) else [measure.metric for measure in _measures(line)]

    for metric in read:
        assert metric in (TOPOLOGY.metrics if metric.namespace == metrics.NAMESPACE else vars(aws_metrics).values())


def test_every_metric_of_ours_is_shown() -> None:
    lines = [line for board in BOARDS for row in board.rows for panel in row.panels for line in panel.lines]
    shown = {measure.metric.name for line in lines for measure in _measures(line)} | {
        line.metric.name for line in lines if isinstance(line, Search)
    }

    assert {metric.name for metric in TOPOLOGY.metrics} <= shown


def test_a_template_reads_metrics_under_the_dimensions_of_the_topology(prod: Templates) -> None:
    expected = {
        (measure.metric.namespace, measure.metric.name, tuple(measure.dimensions), measure.statistic)
        for board in BOARDS
        for row in board.rows
        for panel in row.panels
        for line in panel.lines
        for measure in _measures(line)
    }

    found = {
        (namespace, name, frozenset(dimensions), statistic)
        for body in _bodies(prod).values()
        for namespace, name, dimensions, statistic in _metrics(body)
    }
    assert found == {(namespace, name, frozenset(dimensions), statistic) for namespace, name, dimensions, statistic in expected}


def test_no_placeholder_is_left_in_a_template(prod: Templates) -> None:
    text = json.dumps(_bodies(prod))

    assert not [name for name in PLACEHOLDERS if f"{{{name}}}" in text]
    assert "LoadBalancerFullName" in text
    assert "TargetGroupFullName" in text


@pytest.mark.parametrize(
    ("dimension", "names"),
    [
        ("QueueName", {queue_name(PREFIX, queue.name) for queue in TOPOLOGY.queues}),
        ("ServiceName", {service_name(PREFIX, service.name) for service in TOPOLOGY.services}),
        ("TableName", {table_name(PREFIX, table.name) for table in TOPOLOGY.tables}),
    ],
)
def test_every_queue_service_and_table_is_shown(prod: Templates, dimension: str, names: set[str]) -> None:
    shown = {dimensions.get(dimension) for body in _bodies(prod).values() for _, _, dimensions, _ in _metrics(body)}

    assert names <= shown


def test_a_queue_that_is_added_appears_by_itself_and_nothing_else_changes(prod: Templates, synthesise: Synthesise) -> None:
    changed = _bodies(synthesise(WITH_LETTERS, replace(DEV, name_prefix=PREFIX)))

    for name, before in _bodies(prod).items():
        titles = [widget["properties"].get("markdown", "").partition("\n")[0] for widget in changed[name]["widgets"]]
        assert ("## letters" in titles) == (name == dashboard_name(PREFIX, "queues"))
        added = set(map(_hashable, _metrics(changed[name]))) - set(map(_hashable, _metrics(before)))
        assert added
        assert all("letters" in str(metric) for metric in added)
        assert not set(map(_hashable, _metrics(before))) - set(map(_hashable, _metrics(changed[name])))


def _hashable(metric: tuple[str, str, dict[str, str], str]) -> tuple[Any, ...]:
    namespace, name, dimensions, statistic = metric
    return namespace, name, tuple(sorted(dimensions.items())), statistic


# -- what CloudWatch would not show is refused ----------------------------------------------------------------------
LINE = Line(label="x", measure=Measure(metric=metrics.SAGAS_STUCK, statistic="Sum", dimensions={metrics.DEPLOYMENT: "{prefix}"}))


def panel(width: int = 6, lines: int = 1) -> Panel:
    return Panel(title="x", axis="y", width=width, lines=(LINE,) * lines, period=timedelta(minutes=1))


def test_a_row_that_is_too_wide_is_refused() -> None:
    with pytest.raises(DashboardImpossible, match="30 wide; a dashboard has 24 columns"):
        Row(title="x", text="", panels=(panel(),) * 5)


def test_a_panel_with_too_many_metrics_is_refused() -> None:
    with pytest.raises(DashboardImpossible, match="501 metrics; a widget shows 500"):
        Row(title="x", text="", panels=(panel(lines=501),))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((Row(title="x", text="", panels=(panel(),) * 4),) * 101, "505 widgets; a dashboard shows 500"),
        ((Row(title="x", text="", panels=(panel(lines=500),) * 3),) * 2, "3000 metrics; a dashboard shows 2500"),
    ],
)
def test_a_board_with_too_much_is_refused(rows: tuple[Row, ...], said: str) -> None:
    with pytest.raises(DashboardImpossible, match=said):
        Board(name="x", shows_alarms=False, rows=rows)


def test_a_widget_shows_a_hundred_alarms() -> None:
    assert [len(group) for group in BOARDS[0].alarm_groups(range(250))] == [100, 100, 50]
