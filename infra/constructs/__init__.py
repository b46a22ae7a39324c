"""One construct per policy of the topology. A construct reads its policy and invents no number."""

from infra.constructs.alarm import PolicyAlarm
from infra.constructs.application_secret import ApplicationSecret
from infra.constructs.lines import Lines
from infra.constructs.private_bucket import PrivateBucket
from infra.constructs.state_table import StateTable
from infra.constructs.task_queue import TaskQueue

__all__ = ["ApplicationSecret", "Lines", "PolicyAlarm", "PrivateBucket", "StateTable", "TaskQueue"]
