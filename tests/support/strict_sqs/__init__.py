"""AWS at its least kind: a proxy in front of the local AWS that uses every freedom which SQS's documentation leaves to SQS.

What it does:

- An old receipt handle deletes nothing, and success is answered. The visibility of a message that is not in flight under this
  handle cannot be changed. Batches, delays, waits, attributes and characters have AWS's limits.
- It has habits (:class:`Habits`): some messages are delivered twice under the same message id, some answers to a receive are
  lost, some sends are visible a second later, the order within a receive is random, and a receive returns fewer messages than
  there are. Draws come from a seed; which message a draw hits depends on the order of the requests.
- It fails on demand (``tests.support.faults``) and notes every request.

Limit: SQS in AWS's JSON protocol, standard queues of one region. DynamoDB and others with an ``X-Amz-Target`` can fail, too,
and pass untouched otherwise; every other protocol (S3, STS) is a tunnel that only a ``Network`` state breaks. What goes straight
to the local AWS and past this proxy is not known to it.

``python -m tests.support.strict_sqs --target URL`` is one process for all deployments of a session; each deployment opens a port
of its own by making a :class:`StrictSqs`.
"""

from tests.support.strict_sqs.habits import NO_HABITS, Habits
from tests.support.strict_sqs.strict_sqs import Request, StrictSqs

__all__ = ["NO_HABITS", "Habits", "Request", "StrictSqs"]
