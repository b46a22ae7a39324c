"""Every alarm of the topology, and the topic that carries them to people."""

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from app.topology import Topology
from infra.constructs import PolicyAlarm
from infra.stages import Stage


class ObservabilityStack(Stack):
    def __init__(self, scope: Construct, *, topology: Topology, stage: Stage) -> None:
        name = f"{stage.name_prefix}-observability"
        super().__init__(scope, name, stack_name=name, description="Alarms.", termination_protection=stage.keeps_data)
        topic = self._alarm_topic()
        if stage.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(stage.alarm_email))
        for policy in topology.alarms:
            PolicyAlarm(self, policy=policy, names={"prefix": stage.name_prefix}, topic=topic)
        CfnOutput(self, "AlarmTopicArn", value=topic.topic_arn, description="Subscribe here to be woken.")

    def _alarm_topic(self) -> sns.Topic:
        # Not encrypted with a key: CloudWatch may not use AWS's own SNS key, and an alarm's text holds no secret.
        topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        # A topic with a policy of its own loses the default one, by which alarms of the same account may publish.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsMayPublish",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        return topic
