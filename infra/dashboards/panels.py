"""What a dashboard consists of: boards of rows of panels of lines, as values that refuse what CloudWatch would refuse."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from app.topology import Measure, MetricPolicy

#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
COLUMNS = 24
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
MOST_WIDGETS = 500
MOST_METRICS_OF_A_WIDGET = 500
MOST_METRICS = 2500


T = TypeVar("T")


class DashboardImpossible(ValueError):
    """A board has more than CloudWatch shows. The message names the board or row and what is too much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One measure."""

    label: str
    measure: Measure

    @property
    def metrics(self) -> int:
        return 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Formula:
    """Metric math over measures, by the names under which the expression knows them. A panel knows each name once."""

    label: str
    expression: str
    measures: Mapping[str, Measure]

    @property
    def metrics(self) -> int:
        return len(self.measures)


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A line for each set of values that ``metric`` has been published under, such as each task. CloudWatch finds 500 at most."""

    label: str
    """May hold ``${PROP('Dim.Task')}`` and the like."""
    metric: MetricPolicy
    statistic: str
    where: Mapping[str, str]
    """Values that some dimensions must have; may hold ``{prefix}``."""

    @property
    def metrics(self) -> int:
        return 1

    @property
    def expression(self) -> str:
        """With placeholders, as ``where``."""
        schema = ",".join((self.metric.namespace, *self.metric.dimensions))
        terms = " ".join((f'MetricName="{self.metric.name}"', *(f'{name}="{value}"' for name, value in self.where.items())))
        return f"SEARCH('{{{{{schema}}}}} {terms}', '{self.statistic}')"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A horizontal line: where an alarm rings."""

    label: str
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One graph."""

    title: str
    lines: tuple[Line | Formula | Search, ...]
    axis: str
    """What is counted, in words."""
    width: int
    height: int = 6
    lowest: float | None = 0
    """Where the axis begins; ``None`` where figures may be negative."""
    is_stacked: bool = False
    limit: Limit | None = None
    period: timedelta = timedelta(minutes=1)

    @property
    def metrics(self) -> int:
        return sum(line.metrics for line in self.lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Panels beside each other, under a heading. ``text`` says what to look for; Markdown."""

    title: str
    text: str
    panels: tuple[Panel, ...]
    heading_height: int = 2

    def __post_init__(self) -> None:
        width = sum(panel.width for panel in self.panels)
        if width > COLUMNS:
            raise DashboardImpossible(f"Row {self.title!r}: its panels are {width} wide; a dashboard has {COLUMNS} columns. Make two rows.")
        for panel in self.panels:
            if panel.metrics > MOST_METRICS_OF_A_WIDGET:
                raise DashboardImpossible(
                    f"Panel {panel.title!r} of {self.title!r}: {panel.metrics} metrics; a widget shows {MOST_METRICS_OF_A_WIDGET}."
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """One dashboard. The first row is what hurts first."""

    name: str
    shows_alarms: bool
    """All of them, above the rows."""
    rows: tuple[Row, ...]
    alarms_height: int = 6
    alarms_of_a_widget: int = 100
    columns: int = COLUMNS
    shown: timedelta = timedelta(hours=3)

    def __post_init__(self) -> None:
        panels = [panel for row in self.rows for panel in row.panels]
        widgets = len(panels) + len(self.rows) + self.shows_alarms
        if widgets > MOST_WIDGETS:
            raise DashboardImpossible(f"Board {self.name!r}: {widgets} widgets; a dashboard shows {MOST_WIDGETS}.")
        if (metrics := sum(panel.metrics for panel in panels)) > MOST_METRICS:
            raise DashboardImpossible(f"Board {self.name!r}: {metrics} metrics; a dashboard shows {MOST_METRICS}.")

    def alarm_groups(self, alarms: Sequence[T]) -> Iterator[Sequence[T]]:
        """As many as a widget takes, and so on."""
        for first in range(0, len(alarms), self.alarms_of_a_widget):
            yield alarms[first : first + self.alarms_of_a_widget]
