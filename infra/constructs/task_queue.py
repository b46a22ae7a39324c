"""A queue and its dead letters."""

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from app.topology import QueuePolicy
from app.topology.naming import dead_letter_queue_name, queue_name


class TaskQueue(Construct):
    """Both are encrypted by SQS and refuse plain HTTP. Only this queue may send to these dead letters."""

    def __init__(self, scope: Construct, *, policy: QueuePolicy, name_prefix: str, removal: RemovalPolicy) -> None:
        super().__init__(scope, policy.name)
        name = queue_name(name_prefix, policy.name)
        # By name, not by reference: each queue names the other, and CloudFormation allows no circle.
        source_arn = Stack.of(self).format_arn(service="sqs", resource=name)
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            queue_name=dead_letter_queue_name(name_prefix, policy.name),
            retention_period=Duration.seconds(policy.dead_letter_retention.total_seconds()),
            redrive_allow_policy=sqs.RedriveAllowPolicy(
                redrive_permission=sqs.RedrivePermission.BY_QUEUE,
                source_queues=[sqs.Queue.from_queue_arn(self, "Source", source_arn)],
            ),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=removal,
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            queue_name=name,
            visibility_timeout=Duration.seconds(policy.visibility_timeout.total_seconds()),
            retention_period=Duration.seconds(policy.retention.total_seconds()),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=policy.max_receive_count),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=removal,
        )
        CfnOutput(self, "QueueUrl", value=self.queue.queue_url, description=policy.purpose)
        CfnOutput(self, "DeadLettersUrl", value=self.dead_letters.queue_url, description=f"Jobs of {policy.name} that could not be done.")
