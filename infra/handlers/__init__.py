"""Functions that run in AWS Lambda while a stack is deployed, or after. Plain Python and boto3, which Lambda brings."""

from datetime import timedelta

#: boto3 takes seconds to import on a small share of a processor, which comes with memory, and ECS may be slow to answer.
MEMORY_MIB = 256
TIMEOUT = timedelta(minutes=1)
