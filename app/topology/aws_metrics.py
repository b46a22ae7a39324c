"""The metrics that AWS publishes and that we read, under the names and dimensions of its documentation.

A wrong letter here is no error anywhere: CloudWatch shows an empty graph, and an alarm stays silent.
"""

from app.topology.policies import MetricPolicy, MetricUnit


def _metrics(namespace: str, dimensions: tuple[str, ...], unit: MetricUnit, *names: tuple[str, str]) -> tuple[MetricPolicy, ...]:
    return tuple(MetricPolicy(namespace=namespace, name=name, purpose=purpose, unit=unit, dimensions=dimensions) for name, purpose in names)


#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
(SQS_OLDEST_AGE,) = _metrics(
    "AWS/SQS",
    ("QueueName",),
    MetricUnit.SECONDS,
    ("ApproximateAgeOfOldestMessage", "Age of the oldest message that is not deleted."),
)
SQS_VISIBLE, SQS_IN_FLIGHT, SQS_DELAYED, SQS_SENT, SQS_RECEIVED, SQS_DELETED, SQS_EMPTY_RECEIVES = _metrics(
    "AWS/SQS",
    ("QueueName",),
    MetricUnit.COUNT,
    ("ApproximateNumberOfMessagesVisible", "Messages that wait."),
    ("ApproximateNumberOfMessagesNotVisible", "Messages that a worker holds."),
    ("ApproximateNumberOfMessagesDelayed", "Messages that are not due."),
    ("NumberOfMessagesSent", "Messages that were sent."),
    ("NumberOfMessagesReceived", "Messages that were received, again and again."),
    ("NumberOfMessagesDeleted", "Messages that were settled."),
    ("NumberOfEmptyReceives", "Requests that found nothing; each is paid for."),
)

#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html
ECS_DESIRED, ECS_RUNNING = _metrics(
    "ECS/ContainerInsights",
    ("ClusterName", "ServiceName"),
    MetricUnit.COUNT,
    ("DesiredTaskCount", "Copies of a service that should run."),
    ("RunningTaskCount", "Copies of a service that run."),
)
#: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
ECS_CPU, ECS_MEMORY = _metrics(
    "AWS/ECS",
    ("ClusterName", "ServiceName"),
    MetricUnit.PERCENT,
    ("CPUUtilization", "Share of the CPU that a service reserved."),
    ("MemoryUtilization", "Share of the memory that a service reserved."),
)

#: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
ALB_REQUESTS, ALB_OWN_5XX, ALB_TARGET_5XX, ALB_CAPACITY_UNITS = _metrics(
    "AWS/ApplicationELB",
    ("LoadBalancer",),
    MetricUnit.COUNT,
    ("RequestCount", "Requests that a web container answered."),
    ("HTTPCode_ELB_5XX_Count", "Requests that the load balancer failed by itself: no container, or none in time."),
    ("HTTPCode_Target_5XX_Count", "Requests that a web container failed."),
    ("ConsumedLCUs", "Capacity units, which are paid for."),
)
(ALB_LATENCY,) = _metrics(
    "AWS/ApplicationELB", ("LoadBalancer",), MetricUnit.SECONDS, ("TargetResponseTime", "Until a web container began to answer.")
)
ALB_HEALTHY, ALB_UNHEALTHY = _metrics(
    "AWS/ApplicationELB",
    ("LoadBalancer", "TargetGroup"),
    MetricUnit.COUNT,
    ("HealthyHostCount", "Web containers that pass their health check."),
    ("UnHealthyHostCount", "Web containers that do not."),
)

#: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html
RDS_CAPACITY_USED, RDS_CPU = _metrics(
    "AWS/RDS",
    ("DBClusterIdentifier",),
    MetricUnit.PERCENT,
    ("ACUUtilization", "Capacity in use, of the most that is allowed."),
    ("CPUUtilization", "Share of the CPU of the present capacity."),
)
RDS_CAPACITY, RDS_CONNECTIONS, RDS_DEADLOCKS = _metrics(
    "AWS/RDS",
    ("DBClusterIdentifier",),
    MetricUnit.COUNT,
    ("ServerlessDatabaseCapacity", "Aurora capacity units, which are paid for."),
    ("DatabaseConnections", "Open connections."),
    ("Deadlocks", "Deadlocks a second."),
)
(RDS_FREE_MEMORY,) = _metrics("AWS/RDS", ("DBClusterIdentifier",), MetricUnit.BYTES, ("FreeableMemory", "Memory that is free."))
(RDS_COMMIT_LATENCY,) = _metrics("AWS/RDS", ("DBClusterIdentifier",), MetricUnit.MILLISECONDS, ("CommitLatency", "How long a commit took."))

#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
_PER_INDEX = (("TableName", "GlobalSecondaryIndexName"),)
DYNAMODB_READS, DYNAMODB_WRITES, DYNAMODB_READ_THROTTLES, DYNAMODB_WRITE_THROTTLES = (
    MetricPolicy(
        namespace="AWS/DynamoDB",
        name=name,
        purpose=purpose,
        unit=MetricUnit.COUNT,
        dimensions=("TableName",),
        other_dimensions=_PER_INDEX,
    )
    for name, purpose in (
        ("ConsumedReadCapacityUnits", "Read units, which are paid for."),
        ("ConsumedWriteCapacityUnits", "Write units, which are paid for."),
        ("ReadThrottleEvents", "Reads that DynamoDB put off."),
        ("WriteThrottleEvents", "Writes that DynamoDB put off."),
    )
)

#: https://docs.aws.amazon.com/vpc/latest/userguide/metrics-dimensions-nat-gateway.html
NAT_BYTES_OUT, NAT_BYTES_IN = _metrics(
    "AWS/NATGateway",
    ("NatGatewayId",),
    MetricUnit.BYTES,
    ("BytesOutToDestination", "Bytes to the internet, which are paid for."),
    ("BytesInFromDestination", "Bytes from the internet, which are paid for."),
)

#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
(LOG_BYTES,) = _metrics("AWS/Logs", ("LogGroupName",), MetricUnit.BYTES, ("IncomingBytes", "Bytes of log lines, which are paid for."))
