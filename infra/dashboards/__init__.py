"""The dashboards of a deployment, as values, from its topology: a queue or service that is added there appears here by itself.

Imports no CDK: ``infra/constructs/dashboard.py`` makes CloudFormation of them.
"""

from app.topology import Topology
from infra.dashboards.overview import overview
from infra.dashboards.panels import Board
from infra.dashboards.platform import platform
from infra.dashboards.queues import queues


def dashboards_of(topology: Topology) -> tuple[Board, ...]:
    """Three: so many of an account are free, as long as they are small."""
    return (overview(topology), queues(topology), platform(topology))
