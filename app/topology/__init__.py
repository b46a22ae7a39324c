"""What exists in AWS, as plain frozen values. Imports nothing but the standard library.

``TOPOLOGY`` is read by the Celery settings, the routes, the system checks, the local provisioner, ``scripts/run``,
the console and the CDK app. A fact stands here once; whoever needs it computes from it.
"""

from app.topology.alarms import alarms_for
from app.topology.buckets import BUCKETS
from app.topology.errors import TopologyError
from app.topology.metrics import METRICS
from app.topology.one_offs import ONE_OFFS
from app.topology.policies import (
    AlarmPolicy,
    BucketPolicy,
    Comparison,
    HttpHealth,
    IndexPolicy,
    KeyAttribute,
    KeyType,
    Measure,
    MetricPolicy,
    MetricUnit,
    OneOffPolicy,
    PulseHealth,
    QueuePolicy,
    ServicePolicy,
    TablePolicy,
    Topology,
    VariablePolicy,
)
from app.topology.queues import QUEUES
from app.topology.scaling import ScalingMode, ScalingPolicy
from app.topology.services import SERVICES
from app.topology.tables import TABLES
from app.topology.variables import VARIABLES

TOPOLOGY = Topology(
    queues=QUEUES,
    tables=TABLES,
    buckets=BUCKETS,
    services=SERVICES,
    variables=VARIABLES,
    metrics=METRICS,
    alarms=alarms_for(queues=QUEUES, tables=TABLES, services=SERVICES),
    one_offs=ONE_OFFS,
)

__all__ = [
    "TOPOLOGY",
    "AlarmPolicy",
    "BucketPolicy",
    "Comparison",
    "HttpHealth",
    "IndexPolicy",
    "KeyAttribute",
    "KeyType",
    "Measure",
    "MetricPolicy",
    "MetricUnit",
    "OneOffPolicy",
    "PulseHealth",
    "QueuePolicy",
    "ScalingMode",
    "ScalingPolicy",
    "ServicePolicy",
    "TablePolicy",
    "Topology",
    "TopologyError",
    "VariablePolicy",
]
