"""One construct per policy of the topology. A construct reads its policy and invents no number."""

from infra.constructs.alarm import PolicyAlarm
from infra.constructs.artifact_bucket import ArtifactBucket
from infra.constructs.state_table import StateTable
from infra.constructs.task_queue import TaskQueue

__all__ = ["ArtifactBucket", "PolicyAlarm", "StateTable", "TaskQueue"]
