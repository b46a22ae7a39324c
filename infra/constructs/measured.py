"""A measure of the topology as CloudWatch's metric."""

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from app.topology import Measure


def measured(measure: Measure, names: Mapping[str, str], period: Duration, label: str | None = None) -> cloudwatch.Metric:
    """``names`` fill the placeholders in the dimensions."""
    return cloudwatch.Metric(
        namespace=measure.metric.namespace,
        metric_name=measure.metric.name,
        dimensions_map={name: value.format_map(names) for name, value in measure.dimensions.items()},
        statistic=measure.statistic,
        period=period,
        label=label,
    )
