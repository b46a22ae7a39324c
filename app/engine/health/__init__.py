"""Is it alive, is it ready, do the jobs move?

Promise: ``live`` needs nothing but this process; ``ready`` asks database, SQS and DynamoDB, each for 2 s at most;
``workers`` is 503 when a queue has no living worker, no beat leads, there are dead letters or a lag that would ring an alarm, and for ten
minutes after a worker was lost or a due time was missed.
Limit: a moment's picture. Alarms are CloudWatch's work.
Use: ``/health/live``, ``/health/ready``, ``/health/workers``; ``python -m app.config.probe`` inside a container.
Stores: nothing. Emits: nothing.
"""
