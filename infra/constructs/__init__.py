"""One construct per policy of the topology. A construct reads its policy and invents no number."""

from infra.constructs.alarm import PolicyAlarm
from infra.constructs.private_bucket import PrivateBucket
from infra.constructs.state_table import StateTable
from infra.constructs.task_queue import TaskQueue

__all__ = ["PolicyAlarm", "PrivateBucket", "StateTable", "TaskQueue"]
