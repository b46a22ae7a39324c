"""A CloudWatch alarm that says what it means and what to read."""

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from app.topology import AlarmPolicy, Comparison
from app.topology.naming import alarm_name
from infra.constructs.measured import measured

_COMPARISONS = {
    Comparison.AT_LEAST: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
    Comparison.BELOW: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
}


class PolicyAlarm(Construct):
    """Tells the topic when it begins and when it is over. ``names`` are those of ``app.topology.policies.PLACEHOLDERS``."""

    def __init__(self, scope: Construct, *, policy: AlarmPolicy, names: Mapping[str, str], topic: sns.ITopic) -> None:
        super().__init__(scope, policy.name)
        missing_data = cloudwatch.TreatMissingData
        self.alarm = cloudwatch.Alarm(
            self,
            "Alarm",
            alarm_name=alarm_name(names["prefix"], policy.name),
            alarm_description=f"{policy.purpose} Runbook: docs/runbooks/{policy.runbook}",
            metric=_metric(policy, names),
            threshold=policy.threshold,
            evaluation_periods=policy.evaluation_periods,
            comparison_operator=_COMPARISONS[policy.comparison],
            treat_missing_data=missing_data.BREACHING if policy.is_silence_bad else missing_data.NOT_BREACHING,
        )
        self.alarm.add_alarm_action(actions.SnsAction(topic))
        self.alarm.add_ok_action(actions.SnsAction(topic))


def _metric(policy: AlarmPolicy, names: Mapping[str, str]) -> cloudwatch.IMetric:
    period = Duration.seconds(policy.period.total_seconds())
    metrics = {name: measured(measure, names, period) for name, measure in policy.measures.items()}
    if policy.expression:
        return cloudwatch.MathExpression(expression=policy.expression, using_metrics=metrics, period=period)
    (metric,) = metrics.values()
    return metric
