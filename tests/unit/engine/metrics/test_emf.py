"""https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""

import io
import json
import time
from typing import Any

import pytest

from app.engine.metrics.emf import emit, emit_all
from app.topology import TOPOLOGY, MetricPolicy, metrics

UNITS = {"Seconds", "Milliseconds", "Count"}


def values(metric: MetricPolicy) -> dict[str, str]:
    return dict.fromkeys(metric.dimensions, "some value")


def check_is_emf(document: Any) -> None:
    """The rules of the specification, as far as CloudWatch drops a line that breaks them."""
    header = document["_aws"]
    assert set(header) == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(header["Timestamp"], int)
    assert abs(header["Timestamp"] / 1000 - time.time()) < 60
    for directive in header["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 1024
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 30
            for name in dimensions:
                assert 1 <= len(name) <= 250
                assert isinstance(document[name], str)
                assert 1 <= len(document[name]) <= 1024
        assert 1 <= len(directive["Metrics"]) <= 100
        for definition in directive["Metrics"]:
            assert definition["Unit"] in UNITS
            figures = document[definition["Name"]]
            for figure in figures if isinstance(figures, list) else [figures]:
                assert isinstance(figure, int | float)


def written(write: Any, *arguments: Any) -> Any:
    stream = io.StringIO()
    write(*arguments, stream)
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


@pytest.mark.parametrize("metric", TOPOLOGY.metrics, ids=lambda metric: metric.name)
def test_every_declared_metric_is_written_as_cloudwatch_reads_it(metric: MetricPolicy) -> None:
    document = written(emit, metric, 12.5, values(metric))

    check_is_emf(document)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == metrics.NAMESPACE
    assert [set(dimensions) for dimensions in directive["Dimensions"]] == [set(names) for names in metric.dimension_sets]
    assert [(one["Name"], one["Unit"]) for one in directive["Metrics"]] == [(metric.name, metric.unit.value)]
    assert document[metric.name] in (12.5, [12.5])


def test_figures_with_the_same_dimensions_share_a_line() -> None:
    document = written(emit_all, {metrics.TASK_RUNS: 1, metrics.TASK_RUN_TIME: 20.5}, values(metrics.TASK_RUNS))

    check_is_emf(document)
    assert {one["Name"] for one in document["_aws"]["CloudWatchMetrics"][0]["Metrics"]} == {"TaskRuns", "TaskRunTime"}


def test_figures_that_stand_under_different_dimensions_share_none() -> None:
    with pytest.raises(ValueError, match="TaskRetries has other_dimensions of its own"):
        emit_all({metrics.TASK_RUNS: 1, metrics.TASK_RETRIES: 1}, values(metrics.TASK_RUNS), io.StringIO())


@pytest.mark.parametrize(
    "dimensions",
    [{}, {"Task": "a.b"}, values(metrics.TASK_RUNS) | {"TaskId": "7c1f"}],
    ids=["none", "too few", "too many"],
)
def test_dimensions_that_are_not_declared_are_refused(dimensions: dict[str, str]) -> None:
    stream = io.StringIO()

    with pytest.raises(ValueError, match=f"TaskRuns has the dimensions {', '.join(metrics.TASK_RUNS.dimensions)}, got "):
        emit(metrics.TASK_RUNS, 1, dimensions, stream)
    assert stream.getvalue() == ""


def test_figures_of_one_line_do_not_leak_into_the_next() -> None:
    written(emit, metrics.TASK_RUNS, 1, values(metrics.TASK_RUNS))

    assert set(written(emit, metrics.OUTBOX_LAG, 3, values(metrics.OUTBOX_LAG))) == {"_aws", "OutboxLag", *metrics.OUTBOX_LAG.dimensions}


def test_a_line_is_one_write_because_the_children_of_a_worker_share_a_stream() -> None:
    writes: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return len(text)

    emit(metrics.OUTBOX_LAG, 1, dict.fromkeys(metrics.OUTBOX_LAG.dimensions, "x"), Stream())

    assert len(writes) == 1
    assert writes[0].endswith("}\n")
