"""What watches a stage: its alarms and its budget, the topic that carries them to people, and the dashboards to look at then."""

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from app.topology import Topology
from app.topology.naming import dashboard_name
from infra.budget_warnings import BUDGET_WARNINGS
from infra.constructs.alarm import PolicyAlarm
from infra.constructs.dashboard import BoardDashboard
from infra.constructs.monthly_budget import MonthlyBudget
from infra.dashboards import dashboards_of
from infra.stacks.compute import ComputeStack
from infra.stages import Stage


class ObservabilityStack(Stack):
    """Knows everything by its physical name, but for the load balancer and its targets, whose names AWS makes up."""

    def __init__(self, scope: Construct, *, topology: Topology, stage: Stage, compute: ComputeStack) -> None:
        name = f"{stage.name_prefix}-observability"
        super().__init__(
            scope, name, stack_name=name, description="Alarms, dashboards and a budget.", termination_protection=stage.keeps_data
        )
        assert compute.target_group is not None  # noqa: S101 — for the type checker: one service is the web
        names = {
            "prefix": stage.name_prefix,
            "load_balancer": compute.front.balancer.load_balancer_full_name,
            "target_group": compute.target_group.target_group_full_name,
        }
        topic = self._alarm_topic()
        if stage.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(stage.alarm_email))
        alarms = [PolicyAlarm(self, policy=policy, names=names, topic=topic).alarm for policy in topology.alarms]
        boards = dashboards_of(topology)
        for board in boards:
            BoardDashboard(self, board=board, names=names, alarms=alarms)
        MonthlyBudget(self, name_prefix=stage.name_prefix, usd=stage.monthly_budget_usd, warnings=BUDGET_WARNINGS, topic=topic)
        CfnOutput(self, "AlarmTopicArn", value=topic.topic_arn, description="Subscribe here to be woken.")
        overview, *_ = boards
        CfnOutput(
            self, "Overview", value=dashboard_name(stage.name_prefix, overview.name), description="CloudWatch dashboard to begin with."
        )

    def _alarm_topic(self) -> sns.Topic:
        # Not encrypted with a key: CloudWatch may not use AWS's own SNS key, and an alarm's text holds no secret.
        topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        # A topic with a policy of its own loses the default one, by which alarms of the same account may publish.
        for sid, service in (("AlarmsMayPublish", "cloudwatch.amazonaws.com"), ("BudgetsMayPublish", "budgets.amazonaws.com")):
            topic.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=sid,
                    principals=[iam.ServicePrincipal(service)],
                    actions=["sns:Publish"],
                    resources=[topic.topic_arn],
                    conditions={"StringEquals": {"aws:SourceAccount": self.account}},
                )
            )
        return topic
