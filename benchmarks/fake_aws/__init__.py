"""An SQS and a DynamoDB that are thin enough to measure a client against.

Promise: each answer costs it tens of microseconds, and it accounts for every message and every request. Limit: it knows the requests
that Celery and we send, standard queues only, no signatures, and refuses the rest. It forgets everything when it ends.
Use: ``with FakeAws.started() as aws``. Only the standard library, so that no stack gains by what happens to be installed.
"""

from benchmarks.fake_aws.control import FakeAws

__all__ = ["FakeAws"]
