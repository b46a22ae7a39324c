"""The number of a service's copies follows the deficit that beat publishes."""

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from app.topology import Measure, MetricPolicy, ScalingPolicy, ServicePolicy, aws_metrics, metrics
from app.topology.naming import alarm_name, cluster_name, queue_name, service_name
from app.topology.scaling import LAST_DESIRED, Aggregation, StepRule, native_expression, rules_for
from infra.constructs.measured import measured

_AGGREGATIONS = {
    Aggregation.MAXIMUM: autoscaling.MetricAggregationType.MAXIMUM,
    Aggregation.MINIMUM: autoscaling.MetricAggregationType.MINIMUM,
}


class DeficitScaling(Construct):
    """Out within a minute, in after one or three, from zero where the policy allows it; by CloudWatch's own figures while beat is silent.

    Nobody is told when these alarms ring: they are how it works. Of a service that scales, the template must not state their number.
    """

    def __init__(
        self, scope: Construct, *, service: ecs.FargateService, policy: ServicePolicy, scaling: ScalingPolicy, name_prefix: str
    ) -> None:
        super().__init__(scope, f"{policy.name}-scaling")
        self._policy = policy
        self._names = {"prefix": name_prefix}
        self._target = autoscaling.ScalableTarget(
            self,
            "Target",
            service_namespace=autoscaling.ServiceNamespace.ECS,
            scalable_dimension="ecs:service:DesiredCount",
            resource_id=f"service/{service.cluster.cluster_name}/{service.service_name}",
            min_capacity=scaling.minimum,
            max_capacity=scaling.maximum,
            role=_linked_role(self),
        )
        # The name of the service alone is no reference if it is known beforehand.
        self._target.node.add_dependency(service)
        quick_out, quick_in, native_out, native_in = rules_for(scaling)
        for rule in (quick_out, quick_in):
            self._follow(rule, self._deficit("Maximum", rule))
        for rule in (native_out, native_in):
            self._follow(rule, self._native(scaling, rule))

    def _follow(self, rule: StepRule, figure: cloudwatch.IMetric) -> None:
        threshold = rule.changes[0]
        is_out = threshold > 0
        comparison = cloudwatch.ComparisonOperator
        policy = autoscaling.StepScalingAction(
            self,
            rule.name,
            scaling_target=self._target,
            policy_name=f"{self._policy.name}-{rule.name}",
            adjustment_type=autoscaling.AdjustmentType.CHANGE_IN_CAPACITY,
            cooldown=_duration(rule),
            metric_aggregation_type=_AGGREGATIONS[rule.aggregation],
        )
        for change, following in zip(rule.changes, (*rule.changes[1:], None), strict=True):
            near, far = change - threshold, None if following is None else following - threshold
            policy.add_adjustment(adjustment=change, lower_bound=near if is_out else far, upper_bound=far if is_out else near)
        alarm = cloudwatch.Alarm(
            self,
            f"{rule.name}Alarm",
            alarm_name=alarm_name(self._names["prefix"], f"{self._policy.name}-{rule.name}"),
            alarm_description=f"Changes the number of copies of {self._policy.name}; see docs/explanation/scaling.md.",
            metric=figure,
            threshold=threshold,
            evaluation_periods=rule.evaluation_periods,
            datapoints_to_alarm=rule.datapoints_to_alarm,
            comparison_operator=comparison.GREATER_THAN_OR_EQUAL_TO_THRESHOLD if is_out else comparison.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.ApplicationScalingAction(policy))

    def _deficit(self, statistic: str, rule: StepRule) -> cloudwatch.Metric:
        dimensions = {metrics.DEPLOYMENT: "{prefix}", metrics.SERVICE: self._policy.name}
        return self._measured(metrics.CAPACITY_DEFICIT, statistic, dimensions, rule)

    def _native(self, scaling: ScalingPolicy, rule: StepRule) -> cloudwatch.MathExpression:
        prefix = self._names["prefix"]
        (queue,) = self._policy.consumes
        of_queue = {"QueueName": queue_name(prefix, queue)}
        of_service = {"ClusterName": cluster_name(prefix), "ServiceName": service_name(prefix, self._policy.name)}
        period = Duration.seconds(rule.period.total_seconds())
        desired = self._measured(aws_metrics.ECS_DESIRED, "Maximum", of_service, rule)
        return cloudwatch.MathExpression(
            expression=native_expression(self._policy.slots, scaling),
            using_metrics={
                "visible": self._measured(aws_metrics.SQS_VISIBLE, "Maximum", of_queue, rule),
                "in_flight": self._measured(aws_metrics.SQS_IN_FLIGHT, "Maximum", of_queue, rule),
                "last_desired": cloudwatch.MathExpression(expression=LAST_DESIRED, using_metrics={"desired": desired}, period=period),
                "samples": self._deficit("SampleCount", rule),
            },
            period=period,
        )

    def _measured(self, metric: MetricPolicy, statistic: str, dimensions: dict[str, str], rule: StepRule) -> cloudwatch.Metric:
        measure = Measure(metric=metric, statistic=statistic, dimensions=dimensions)
        return measured(measure, self._names, Duration.seconds(rule.period.total_seconds()))


def _duration(rule: StepRule) -> Duration:
    return Duration.seconds(rule.cooldown.total_seconds())


def _linked_role(scope: Construct) -> iam.IRole:
    """Auto Scaling makes it itself, once an account."""
    name = "aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"
    arn = Stack.of(scope).format_arn(
        service="iam", region="", resource="role", resource_name=name, arn_format=ArnFormat.SLASH_RESOURCE_NAME
    )
    return iam.Role.from_role_arn(scope, "LinkedRole", arn)
