"""Writing metrics."""

import json
import sys
from collections.abc import Mapping
from typing import TextIO

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from app.topology.metrics import NAMESPACE
from app.topology.policies import MetricPolicy


def emit(metric: MetricPolicy, value: float, dimensions: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Write one figure."""
    emit_all({metric: value}, dimensions, stream)


def emit_all(figures: Mapping[MetricPolicy, float], dimensions: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Write several figures with the same dimensions as one line. Raises ``ValueError`` if those are not the declared ones."""
    provider = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service="")
    for metric, value in figures.items():
        if set(dimensions) != set(metric.dimensions):
            raise ValueError(f"{metric.name} has the dimensions {', '.join(metric.dimensions)}, got {', '.join(dimensions)}")
        if metric.other_dimensions != next(iter(figures)).other_dimensions:
            raise ValueError(f"{metric.name} has other_dimensions of its own: write it alone")
        provider.add_metric(name=metric.name, unit=metric.unit.value, value=value)
    for name, value_of_dimension in dimensions.items():
        provider.add_dimension(name=name, value=value_of_dimension)
    for names in next(iter(figures)).other_dimensions:
        provider.add_dimensions(**{name: dimensions[name] for name in names})
    out = stream or sys.stdout
    # One write: the children of a worker share its stdout, and a line in two parts would run into another's.
    out.write(json.dumps(provider.serialize_metric_set(), separators=(",", ":")) + "\n")
    out.flush()
