"""The measures of what a topology consists of, by the physical names of a deployment."""

from app.topology import IndexPolicy, Measure, MetricPolicy, QueuePolicy, ServicePolicy, TablePolicy
from app.topology.metrics import DEPLOYMENT, SERVICE
from app.topology.naming import (
    cluster_name,
    database_identifier,
    dead_letter_queue_name,
    log_group_name,
    queue_name,
    service_name,
    table_name,
)

PREFIX = "{prefix}"


def of_queue(metric: MetricPolicy, queue: QueuePolicy, statistic: str) -> Measure:
    """Of SQS."""
    return Measure(metric=metric, statistic=statistic, dimensions={"QueueName": queue_name(PREFIX, queue.name)})


def of_dead_letters(metric: MetricPolicy, queue: QueuePolicy, statistic: str) -> Measure:
    return Measure(metric=metric, statistic=statistic, dimensions={"QueueName": dead_letter_queue_name(PREFIX, queue.name)})


def of_all_tasks(metric: MetricPolicy, queue: QueuePolicy, statistic: str) -> Measure:
    """Ours, over all the tasks of a queue."""
    return Measure(metric=metric, statistic=statistic, dimensions={DEPLOYMENT: PREFIX, "Queue": queue.name})


def of_service(metric: MetricPolicy, service: ServicePolicy, statistic: str) -> Measure:
    """Ours, as the service's processes publish it."""
    return Measure(metric=metric, statistic=statistic, dimensions={DEPLOYMENT: PREFIX, SERVICE: service.name})


def of_containers(metric: MetricPolicy, service: ServicePolicy, statistic: str) -> Measure:
    """Of ECS."""
    dimensions = {"ClusterName": cluster_name(PREFIX), "ServiceName": service_name(PREFIX, service.name)}
    return Measure(metric=metric, statistic=statistic, dimensions=dimensions)


def of_deployment(metric: MetricPolicy, statistic: str) -> Measure:
    return Measure(metric=metric, statistic=statistic, dimensions={DEPLOYMENT: PREFIX})


def of_front(metric: MetricPolicy, statistic: str) -> Measure:
    """Of the load balancer."""
    return Measure(metric=metric, statistic=statistic, dimensions={"LoadBalancer": "{load_balancer}"})


def of_targets(metric: MetricPolicy, statistic: str) -> Measure:
    """Of the web containers, as the load balancer sees them."""
    return Measure(metric=metric, statistic=statistic, dimensions={"LoadBalancer": "{load_balancer}", "TargetGroup": "{target_group}"})


def of_database(metric: MetricPolicy, statistic: str) -> Measure:
    return Measure(metric=metric, statistic=statistic, dimensions={"DBClusterIdentifier": database_identifier(PREFIX)})


def of_table(metric: MetricPolicy, table: TablePolicy, statistic: str) -> Measure:
    return Measure(metric=metric, statistic=statistic, dimensions={"TableName": table_name(PREFIX, table.name)})


def of_index(metric: MetricPolicy, table: TablePolicy, index: IndexPolicy, statistic: str) -> Measure:
    """An index consumes for itself: what its table consumed is not counted there."""
    dimensions = {"TableName": table_name(PREFIX, table.name), "GlobalSecondaryIndexName": index.name}
    return Measure(metric=metric, statistic=statistic, dimensions=dimensions)


def of_log(metric: MetricPolicy, service: ServicePolicy, statistic: str) -> Measure:
    return Measure(metric=metric, statistic=statistic, dimensions={"LogGroupName": log_group_name(PREFIX, service.name)})
