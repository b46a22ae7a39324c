"""A CloudWatch alarm that says what it means and what to read."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from app.topology import AlarmPolicy
from app.topology.naming import alarm_name


class PolicyAlarm(Construct):
    """Tells the topic when it begins and when it is over."""

    def __init__(self, scope: Construct, *, policy: AlarmPolicy, name_prefix: str, topic: sns.ITopic) -> None:
        super().__init__(scope, policy.name)
        missing_data = cloudwatch.TreatMissingData
        self.alarm = cloudwatch.Alarm(
            self,
            "Alarm",
            alarm_name=alarm_name(name_prefix, policy.name),
            alarm_description=f"{policy.purpose} Runbook: docs/runbooks/{policy.runbook}",
            metric=cloudwatch.Metric(
                namespace=policy.namespace,
                metric_name=policy.metric,
                dimensions_map={name: value.format(prefix=name_prefix) for name, value in policy.dimensions.items()},
                statistic=policy.statistic,
                period=Duration.seconds(policy.period.total_seconds()),
            ),
            threshold=policy.threshold,
            evaluation_periods=policy.evaluation_periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=missing_data.BREACHING if policy.is_silence_bad else missing_data.NOT_BREACHING,
        )
        self.alarm.add_alarm_action(actions.SnsAction(topic))
        self.alarm.add_ok_action(actions.SnsAction(topic))
